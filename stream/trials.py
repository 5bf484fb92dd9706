"""What an experiment learns from the stream: by arm, clicks and first enrolments, and each learner's first test."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from adapters.experiments import ExperimentCounts
from adapters.follow import ControlLog
from recommender.places import places_in, shared_place
from recommender.recommend import Recommender
from schemas.activity import CLICKED
from schemas.candidates import unpack_candidates
from schemas.control import ControlState
from schemas.experiments import Experiment, arm_of
from schemas.quality import CUTOFF
from schemas.registers import unpack_stamp
from stream.activity import ActivityUpdate
from stream.merge import FirstEnrolments, LearnerUpdate

_OF_ALL: Final = ("popular", "trending")
"""Strategies under which a reader is shown what is so of all courses, whatever the own list holds."""


class Trial(NamedTuple):
    """First enrolments of a learner since an experiment began; what was published late is none of its doing."""

    experiment: Experiment
    course_ids: tuple[str, ...]


def trial_of(experiment: Experiment | None, firsts: FirstEnrolments, update: LearnerUpdate) -> Trial | None:
    """Return the trial that a learner's first enrolments are; None if there is none."""
    if experiment is None:
        return None
    began_us = experiment.started_ms * 1_000
    stamps = {course_id: unpack_stamp(update.records[course_id]) for course_id in firsts.course_ids}
    since = (course_id for course_id, stamp in stamps.items() if stamp.occurred_us >= began_us)
    found = tuple(course_id for course_id in since if course_id not in firsts.taken)
    return Trial(experiment, found) if found else None


def is_hit(firsts: FirstEnrolments, course_id: str, strategy: str, recommender: Recommender) -> bool | None:
    """Return whether a course stood within the first places of the list that stood before, as a strategy sorts it.

    None: the learner had no list, and so was shown the same whatever the arm.
    """
    if firsts.stood_before is None:
        return None
    before = firsts.course_ids[: firsts.course_ids.index(course_id)]
    taken = firsts.taken | set(before)
    if strategy in _OF_ALL:
        place = shared_place(recommender, course_id, taken, strategy)
    else:
        place = places_in(unpack_candidates(firsts.stood_before).candidates, course_id, taken)[strategy]
    return place is not None and place <= CUTOFF


class Trials:
    """Counts for the experiment that runs, if one does."""

    def __init__(self, control: ControlLog, counts: ExperimentCounts) -> None:
        self._control = control
        self._counts = counts

    @property
    def state(self) -> ControlState:
        """What is decided now."""
        return self._control.state

    def trial_of(self, firsts: FirstEnrolments, update: LearnerUpdate) -> Trial | None:
        """Return the trial of the experiment that runs."""
        return trial_of(self._control.state.experiment, firsts, update)

    def judge(self, trial: Trial, firsts: FirstEnrolments, recommender: Recommender) -> None:
        """Count a learner's first enrolments, and test the first of them."""
        experiment, course_ids = trial
        strategy = arm_of(firsts.user_id, experiment).strategy
        hit = is_hit(firsts, course_ids[0], strategy, recommender)
        self._counts.add(experiment, firsts.user_id, enrolments=len(course_ids), hit=hit)

    def take_clicks(self, updates: Mapping[str, ActivityUpdate]) -> None:
        """Count the courses that learners clicked on in lists."""
        experiment = self._control.state.experiment
        if experiment is None:
            return
        began_us = experiment.started_ms * 1_000
        for user_id, update in updates.items():
            clicks = sum(name.startswith(CLICKED) and us >= began_us for name, us in update.fields.items())
            if clicks:
                self._counts.add(experiment, user_id, clicks=clicks)

    def forget(self, updates: Mapping[str, LearnerUpdate]) -> None:
        """Forget the learners whom a run erases."""
        for user_id, update in updates.items():
            if update.erased_offset >= 0:
                self._counts.forget(user_id)
