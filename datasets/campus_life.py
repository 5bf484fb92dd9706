"""Life on the simulated campus as it goes on: who has done what, what is still to come, and the weeks before."""

import heapq
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import count
from typing import Final

from datasets.campus import Campus, Past
from datasets.campus_learners import CampusLearner
from datasets.campus_visits import Body, Visit, Visitor, what_follows
from datasets.collector import content_id
from schemas.events import AnyEvent, ProfileUpdated, convert_event

HISTORY_DAYS: Final = 42.0
SEARCHING: Final = 0.5
"""Share of the visits without a list that are searches; the others are chance."""


class Life:
    """What has happened to whom; outcomes of enrolments wait until their day has come."""

    def __init__(self, campus: Campus) -> None:
        self.campus = campus
        self.pasts: dict[str, Past] = {}
        self._users = list(campus.learners)
        self._cumulated = _sums([learner.activity for learner in campus.learners.values()])
        self._due: list[tuple[float, int, str, Body]] = []
        self._numbers = count()

    def past(self, user_id: str) -> Past:
        """Return what a learner has done."""
        return self.pasts.setdefault(user_id, Past())

    def somebody(self, draw: random.Random) -> CampusLearner:
        """Return who comes next: some come often, most seldom."""
        return self.campus.learners[draw.choices(self._users, cum_weights=self._cumulated)[0]]

    def visitor(self, learner: CampusLearner, day: float, draw: random.Random) -> Visitor:
        """Return a learner as he visits on a day."""
        return Visitor(self.campus, learner, self.past(learner.user_id), day, draw)

    def without_list(self, learner: CampusLearner, day: float, draw: random.Random) -> Visit:
        """Return a visit of somebody who looks at no list: a search, or chance."""
        visitor = self.visitor(learner, day, draw)
        return visitor.search() if draw.random() < SEARCHING else visitor.stumble()

    def happened(self, user_id: str, body: Body) -> None:
        """Take in an event."""
        past, course = self.past(user_id), self.campus.courses.get(body.get("course_id", ""))
        match body["type"]:
            case "enrolled":
                past.taken.add(body["course_id"])
            case "feedback" if body["value"] == "not_for_me":
                past.refused.add(body["course_id"])
            case "completed" if course:
                past.climbed[course.topic] = max(past.climbed.get(course.topic, 0), course.level + 1)

    def expect(self, user_id: str, visit: Visit, day: float, draw: random.Random) -> None:
        """Let what follows from a visit come in its time."""
        if visit.chosen:
            for days, body in what_follows(visit.chosen.course_id, visit.satisfaction, draw):
                heapq.heappush(self._due, (day + days, next(self._numbers), user_id, body))

    def due(self, day: float) -> tuple[str, Body] | None:
        """Return the next event (learner, body) whose day has come, if there is one; it is handed out once."""
        if not self._due or self._due[0][0] > day:
            return None
        _, _, user_id, body = heapq.heappop(self._due)
        return user_id, body


def _sums(values: list[float]) -> list[float]:
    total, sums = 0.0, []
    for value in values:
        total += value
        sums.append(total)
    return sums


def profiles(campus: Campus, day_zero: datetime) -> list[ProfileUpdated]:
    """Return the profiles of those who declare their interests: three topics they like on the first day."""
    made, start = [], day_zero - timedelta(days=HISTORY_DAYS + 1)
    for learner in campus.learners.values():
        if learner.declares:
            tastes = campus.tastes(learner, -HISTORY_DAYS)
            liked = sorted(tastes, key=lambda topic: -tastes[topic])[:3]
            made.append(
                ProfileUpdated(
                    event_id=content_id("campus", "profile", str(campus.seed), learner.user_id),
                    user_id=learner.user_id,
                    occurred_at=start,
                    interests=tuple(liked),
                    languages=learner.languages,
                )
            )
    return made


def history(life: Life, num_events: int, day_zero: datetime) -> Iterator[AnyEvent]:
    """Yield `num_events` events of the weeks before day 0, in time order: searches and chance, nobody saw a list."""
    draw, number = life.campus.draw("history"), 0
    while number < num_events:
        day = HISTORY_DAYS * (number / num_events - 1.0)
        for user_id, body in _step(life, day, draw):
            life.happened(user_id, body)
            yield complete(body, user_id, f"{life.campus.seed} {number}", day_zero + timedelta(days=day))
            number += 1
            if number == num_events:
                return


def _step(life: Life, day: float, draw: random.Random) -> list[tuple[str, Body]]:
    """Return what happens next: what is due, or a visit."""
    due = life.due(day)
    if due:
        return [due]
    learner = life.somebody(draw)
    visit = life.without_list(learner, day, draw)
    life.expect(learner.user_id, visit, day, draw)
    return [(learner.user_id, body) for body in visit.bodies]


def complete(body: Body, user_id: str, name: str, moment: datetime) -> AnyEvent:
    """Return the event of a body; `name` is what its id is derived from."""
    event_id = content_id("campus", body["type"], user_id, name)
    return convert_event({**body, "event_id": event_id, "user_id": user_id, "occurred_at": moment.isoformat()})
