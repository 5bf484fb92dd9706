"""Offline protocols: recommend, check, learn, one event of a data set after the other, with the code that serves.

Both take the learners' states event by event, whatever the models know. `prequential` starts with models of the first
half of the enrolments and fits them anew every so many; `temporal` has models of the first 90 % and never fits again.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from schemas.courses import Course
from schemas.errors import NotReadyError
from schemas.events import ACTIVITY_EVENTS, AnyEvent, CourseEvent, Enrolled, Erased, Feedback
from trainer.cases import Block, Case, blocks_of
from trainer.contenders import CONTENDERS, Fitted, Fitter
from trainer.interactions import interactions_of
from trainer.population import Population
from trainer.scoreboard import Scoreboard
from trainer.settings import TrainerSettings
from trainer.split import evenly
from trainer.text import text_model

BLOCK: Final = 32
"""So many enrolments are tested at once; popularity is as fresh as the first of them, all else as the test itself."""

LISTED: Final = 50
VALIDATED: Final = 0.9
"""A blend is fitted on the last tenth of what the models may know."""

FEWEST: Final = 20
"""Enrolments that an evaluation needs at least."""

Progress = Callable[[str, float], None]


class Protocol(NamedTuple):
    """When models are fitted: first on a share of the enrolments, then every `refit` further ones (0: never again)."""

    warm: float
    refit: int


PROTOCOLS: Final = {"prequential": Protocol(0.5, 2_500), "temporal": Protocol(0.9, 0)}


class Plan(NamedTuple):
    """What is evaluated, and how. `limit` tests, evenly spaced (0: all); `hide_seen`: without what was looked at."""

    protocol: Protocol
    models: tuple[str, ...] = tuple(CONTENDERS)
    limit: int = 0
    hide_seen: bool = False
    seed: int = 1


class Evaluated(NamedTuple):
    """What an evaluation came to, by model; `refits` is how often the models were fitted."""

    scoreboards: dict[str, Scoreboard]
    num_courses: int
    refits: int


@dataclass
class _Targets:
    """The cases of all enrolments so far, which of them are tests, and when models are fitted."""

    total: int
    plan: Plan

    def __post_init__(self) -> None:
        self.cases: list[Case] = []
        self._warm = int(self.total * self.plan.protocol.warm)
        asked = np.arange(self._warm, self.total)
        self._tests = set(evenly(asked, self.plan.limit or self.total).tolist())

    @property
    def is_test(self) -> bool:
        """Whether the next case is a test."""
        return len(self.cases) in self._tests

    @property
    def is_refit_due(self) -> bool:
        """Whether the models are fitted before the next case."""
        after, every = len(self.cases) - self._warm, self.plan.protocol.refit
        return after == 0 or (after > 0 and every > 0 and after % every == 0)

    def validation(self, most: int) -> list[Case]:
        """Return the newest tenth of the cases, evenly thinned out."""
        places = np.arange(int(len(self.cases) * VALIDATED), len(self.cases))
        return [self.cases[place] for place in evenly(places, most).tolist()]


def targets_of(events: Iterable[AnyEvent], hide_seen: bool = False) -> list[int]:
    """Return the places of the enrolments to predict: in a course not yet taken or, with `hide_seen`, not yet met.

    >>> from schemas.events import Viewed
    >>> about = {"event_id": "e", "user_id": "u", "course_id": "c", "occurred_at": 1}
    >>> events = [Viewed(**about), Enrolled(**about), Enrolled(**about)]
    >>> targets_of(events), targets_of(events, hide_seen=True)
    ([1], [])
    """
    met: dict[str, set[str]] = defaultdict(set)
    weak = () if hide_seen else (*ACTIVITY_EVENTS, Feedback)
    places = []
    for place, event in enumerate(events):
        if isinstance(event, Erased):
            met.pop(event.user_id, None)
        elif isinstance(event, CourseEvent) and not isinstance(event, weak):
            if isinstance(event, Enrolled) and event.course_id not in met[event.user_id]:
                places.append(place)
            met[event.user_id].add(event.course_id)
    return places


class Evaluation:
    """One evaluation of a data set: its courses, and its events in the order of time."""

    def __init__(
        self,
        courses: Sequence[Course],
        events: Sequence[AnyEvent],
        plan: Plan,
        settings: TrainerSettings,
        progress: Progress,
    ) -> None:
        self._events, self._plan, self._settings, self._progress = events, plan, settings, progress
        self._places = set(targets_of(events, plan.hide_seen))
        if len(self._places) < FEWEST:
            raise NotReadyError(f"{len(self._places)} enrolments are too few to evaluate on: {FEWEST} are wanted")
        catalogue = {course.course_id: course for course in courses}
        hard = [event for event in events if not isinstance(event, ACTIVITY_EVENTS)]
        by_learner = sorted(hard, key=lambda event: event.user_id)  # stable: each learner's in the order of time
        self._interactions = interactions_of(by_learner, catalogue)
        text = text_model(self._interactions.course_ids, catalogue)
        self._fitter = Fitter(self._interactions, text, catalogue, settings, plan.seed)
        self._targets = _Targets(len(self._places), plan)
        self._fitted: Fitted = {}
        self._num_courses = sum(not course.retired for course in catalogue.values())
        self._refits = 0

    def run(self) -> Evaluated:
        """Return what every model's lists came to."""
        boards = {name: Scoreboard() for name in self._plan.models}
        for block in self._blocks():
            learners = [case.learner for case in block.cases]
            for name, recommender in self._fitted.items():
                lists = recommender.with_popularity(block.popularity).recommend(learners, LISTED)
                boards[name].take(block.cases, lists)
        return Evaluated(boards, self._num_courses, self._refits)

    def _blocks(self) -> Iterator[Block]:
        """Yield the tests in blocks; the models are fitted anew between two of them."""
        targets, population = self._targets, Population()
        tests: list[Case] = []
        popularity, began = population.popularity(), 0
        for place, event in enumerate(self._events):
            if place in self._places and isinstance(event, Enrolled):
                if tests and (len(targets.cases) - began >= BLOCK or targets.is_refit_due):
                    yield Block(tests, popularity)
                    tests = []
                case = Case(population.learner(event.user_id, self._plan.hide_seen), event.course_id, event.occurred_us)
                if targets.is_refit_due:
                    self._refit(event.occurred_us)
                if targets.is_test and not tests:
                    popularity, began = population.popularity(), len(targets.cases)
                if targets.is_test:
                    tests.append(case)
                targets.cases.append(case)
                self._progress("evaluating", len(targets.cases) / targets.total)
            population.apply(event)
        if tests:
            yield Block(tests, popularity)

    def _refit(self, until_us: int) -> None:
        """Fit every model on what was before a moment."""
        self._refits += 1
        self._progress(f"fitting, the {self._refits}. time", len(self._targets.cases) / self._targets.total)
        validation = self._targets.validation(self._settings.evaluate_tests)
        since_us = validation[0].occurred_us if validation else until_us
        blocks = blocks_of(validation, self._interactions)
        self._fitted = self._fitter.fit(self._plan.models, until_us, since_us, blocks)
