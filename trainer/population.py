"""All learners of a data set as they stand at one moment of it: what the stream would hold in Redis."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from recommender.fold import FoldedLearner
from recommender.history import Learner, learner_of
from recommender.popularity import Popularity, counted_day, popularity_of
from schemas.activity import CLICKED, SEARCHES, VIEWED, pack_moment, pack_searches, unpack_searches
from schemas.events import ACTIVITY_EVENTS, AnyEvent, Clicked, CourseEvent, Searched, Viewed
from trainer.metrics import Doubles, self_information

_PREFIXES = {Viewed: VIEWED, Clicked: CLICKED}


@dataclass
class Member:
    """One learner: the folded state, the weak signals, and every course of any event."""

    state: FoldedLearner = field(default_factory=FoldedLearner)
    activity: dict[str, bytes] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    def learner(self, hide_seen: bool) -> Learner:
        """Return the learner as the recommender sees one; with `hide_seen` what was only looked at is refused too."""
        state = self.state
        learner = learner_of(state.records, state.feedback, state.profile, self.activity)
        return replace(learner, refused=learner.refused | self.seen) if hide_seen else learner

    def note(self, event: AnyEvent) -> None:
        """Take in a weak signal."""
        if isinstance(event, Searched):
            known = unpack_searches(self.activity.get(SEARCHES, b""))
            self.activity[SEARCHES] = pack_searches([*known, (event.occurred_us, event.query)])
        elif isinstance(event, Viewed | Clicked):
            self.activity[_PREFIXES[type(event)] + event.course_id] = pack_moment(event.occurred_us)


@dataclass
class Population:
    """Grows event by event, in the order of time."""

    members: dict[str, Member] = field(default_factory=lambda: defaultdict(Member))
    _counts: dict[str, dict[int, int]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(int)))
    _popularity: Popularity | None = None

    def learner(self, user_id: str, hide_seen: bool = False) -> Learner:
        """Return a learner as of now: later events do not change it."""
        return replace(self.members[user_id].learner(hide_seen), user_id=user_id)

    def apply(self, event: AnyEvent) -> None:
        """Take in what the data set tells next, appended the moment it occurred; again, it moves no count."""
        member = self.members[event.user_id]
        if isinstance(event, CourseEvent):
            member.seen.add(event.course_id)
        if isinstance(event, ACTIVITY_EVENTS):
            member.note(event)
            return
        records = member.state.records
        touched = (event.course_id,) if isinstance(event, CourseEvent) else tuple(records)
        before = [counted_day(records.get(course_id, b"")) for course_id in touched]
        member.state.apply(event, event.occurred_us // 1_000)
        for course_id, day in zip(touched, before, strict=True):
            self._count(course_id, day, counted_day(member.state.records.get(course_id, b"")))

    def _count(self, course_id: str, before: int | None, after: int | None) -> None:
        if before == after:
            return
        self._popularity = None
        for day, change in ((before, -1), (after, 1)):
            if day is not None:
                self._counts[course_id][day] += change

    def self_information(self, course_ids: Sequence[str]) -> Doubles:
        """Return the bits that each of these courses is worth now, (n,)."""
        known = self._counts
        totals = [sum(known[course_id].values()) if course_id in known else 0 for course_id in course_ids]
        return self_information(np.array(totals, dtype=np.int64), len(self.members))

    def popularity(self) -> Popularity:
        """Return the popularity that current enrolments make; the same object until they change."""
        if self._popularity is None:
            self._popularity = popularity_of(self._counts)
        return self._popularity
