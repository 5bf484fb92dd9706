"""Offline protocols: recommend, check, learn, one event of a data set after the other.

Both take the learners' states event by event, whatever the models know. `prequential` starts with models of the first
half of the enrolments and fits them anew every so many; `temporal` has models of the first 90 % and never fits again.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Final, NamedTuple

import numpy as np

from recommender.content import matrix_of, nearest
from recommender.recommend import Recommendation
from schemas.courses import Course
from schemas.errors import NotReadyError
from schemas.events import ACTIVITY_EVENTS, AnyEvent, CourseEvent, Enrolled, Erased, Feedback
from trainer.ablation import Variant, compared
from trainer.cases import Case, blocks_of
from trainer.contender import Contender
from trainer.contenders import CONTENDERS
from trainer.evaluate import listed_rank
from trainer.interactions import interactions_of
from trainer.known import Known
from trainer.log import erasures
from trainer.metrics import CUTS
from trainer.population import Population
from trainer.scoreboard import Buckets, Scoreboard, buckets
from trainer.settings import TrainerSettings
from trainer.shown import Listed
from trainer.split import evenly
from trainer.text import text_model
from trainer.verdict import Metrics

BLOCK: Final = 32
"""So many enrolments are tested at once; popularity is as fresh as the first of them, all else as the test itself."""

LISTED: Final = 50
VALIDATED: Final = 0.9
"""A blend is fitted on the last tenth of what the models may know."""

FEWEST: Final = 20
"""Enrolments that an evaluation needs at least."""

YOUNG_US: Final = 7 * 86_400_000_000
"""A course is new for a week after its first event."""

BESIDE: Final = "popular"
"""Evaluated beside whatever was asked for: figures of a bucket say little alone."""

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
    """What an evaluation came to, by model, and `popular` beside; `refits` is how often the models were fitted."""

    scoreboards: dict[str, Scoreboard]
    num_courses: int
    refits: int
    beside: Scoreboard
    ablations: Mapping[str, Metrics]
    """Whole models and variants; nothing unless variants were asked for."""

    def buckets(self) -> Buckets:
        """Return how the models and the popular list did on the same tests, by bucket."""
        return buckets({BESIDE: self.beside, **self.scoreboards})


class _Targets:
    """All enrolments in the order of time, by place: which are tests, and before which the models are fitted."""

    def __init__(self, total: int, plan: Plan, most_validated: int) -> None:
        warm, every = int(total * plan.protocol.warm), plan.protocol.refit
        self.total = total
        self.passed = 0
        self.refits = {warm, *range(warm, total, every)} if every else {warm}
        self.tests = set(evenly(np.arange(warm, total), plan.limit or total).tolist())
        self._validations = {
            place: evenly(np.arange(int(place * VALIDATED), place), most_validated).tolist() for place in self.refits
        }
        self._kept = set().union(*self._validations.values())
        self._cases: dict[int, Case] = {}

    @property
    def is_wanted(self) -> bool:
        """Whether the next enrolment's case is a test, or will be validated on."""
        return self.passed in self.tests or self.passed in self._kept

    def keep(self, case: Case) -> None:
        """Keep the next enrolment's case if it will be validated on."""
        if self.passed in self._kept:
            self._cases[self.passed] = case

    def validation(self) -> list[Case]:
        """Return the newest tenth of the cases, evenly thinned out, for a fit before the next enrolment."""
        return [self._cases[place] for place in self._validations[self.passed]]


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
        if isinstance(event, CourseEvent) and not isinstance(event, weak):
            if isinstance(event, Enrolled) and event.course_id not in met[event.user_id]:
                places.append(place)
            met[event.user_id].add(event.course_id)
    return places


def without_erased(events: Sequence[AnyEvent]) -> list[AnyEvent]:
    """Return events without erasures and what they delete, each as if appended when it occurred: before it, too.

    >>> from schemas.events import Erased, Viewed
    >>> gone, late = (Viewed(event_id="e", user_id="u", course_id="c", occurred_at=second) for second in (1, 1_000))
    >>> without_erased([gone, Erased(event_id="e", user_id="u", occurred_at=500), late]) == [late]
    True
    """
    erased = erasures((event, event.occurred_us // 1_000) for event in events)
    staying = (event for event in events if not isinstance(event, Erased))
    return [event for event in staying if event.occurred_us > erased.get(event.user_id, -1)]


class Evaluation:
    """One evaluation of a data set: its courses, and its events in the order of time; nobody who was erased.

    `variants`: models with a part left out, by name; the whole ones are among those of the plan.
    """

    def __init__(
        self,
        courses: Sequence[Course],
        events: Sequence[AnyEvent],
        plan: Plan,
        settings: TrainerSettings,
        progress: Progress,
        variants: Mapping[str, Variant] | None = None,
    ) -> None:
        self._events = events = without_erased(events)
        self._variants = variants or {}
        self._plan, self._settings, self._progress = plan, settings, progress
        self._places = set(targets_of(events, plan.hide_seen))
        if len(self._places) < FEWEST:
            raise NotReadyError(f"{len(self._places)} enrolments are too few to evaluate on: {FEWEST} are wanted")
        self._catalogue = catalogue = {course.course_id: course for course in courses}
        hard = [event for event in events if not isinstance(event, ACTIVITY_EVENTS)]
        by_learner = sorted(hard, key=lambda event: event.user_id)  # stable: each learner's in the order of time
        self._interactions = interactions_of(by_learner, catalogue)
        self._text = text_model(self._interactions.course_ids, catalogue)
        self._content = nearest(self._text.rows)
        self._vectors = matrix_of(self._text.rows)
        self._index_of = {course_id: index for index, course_id in enumerate(self._interactions.course_ids)}
        self._targets = _Targets(len(self._places), plan, settings.evaluate_tests)
        self._population = Population()
        made = {**CONTENDERS, **{name: variant.make for name, variant in self._variants.items()}}
        self._models: dict[str, Contender] = {name: made[name]() for name in (*plan.models, BESIDE, *self._variants)}
        self._unlearnt: list[AnyEvent] = []
        self._first_us: dict[str, int] = {}
        retired = {course.course_id for course in courses if course.retired}
        self._num_courses = len(set(self._interactions.course_ids) - retired)
        self._refits = 0

    def run(self) -> Evaluated:
        """Return what every model's lists came to."""
        boards = {name: Scoreboard(self._plan.seed) for name in self._models}
        for cases in self._blocks():
            learners = [case.learner for case in cases]
            information = self._population.self_information(self._interactions.course_ids)
            for name, model in self._models.items():
                lists = model.recommend(learners, LISTED)
                ranks = [listed_rank(listed, case.course_id) for listed, case in zip(lists, cases, strict=True)]
                boards[name].take(cases, ranks, self._indices(lists), information, self._vectors)
        asked = {name: boards[name] for name in self._plan.models}
        ablations = compared(boards, self._variants, self._num_courses)
        return Evaluated(asked, self._num_courses, self._refits, boards[BESIDE], ablations)

    def _indices(self, lists: Iterable[Recommendation]) -> Listed:
        """Return the dense indices of what the lists show first."""
        return [[self._index_of[one.course_id] for one in listed.candidates[: max(CUTS)]] for listed in lists]

    def _blocks(self) -> Iterator[list[Case]]:
        """Yield the tests in blocks; the models learn, or are fitted anew, between two of them."""
        targets, began = self._targets, 0
        tests: list[Case] = []
        for place, event in enumerate(self._events):
            if place in self._places and isinstance(event, Enrolled):
                is_refit = targets.passed in targets.refits
                if tests and (targets.passed - began >= BLOCK or is_refit):
                    yield tests
                    tests = []
                if is_refit:
                    self._refit(event.occurred_us)
                if targets.is_wanted:  # looking at a learner takes time: only for what is used
                    case = self._case(event)
                    targets.keep(case)
                    if targets.passed in targets.tests:
                        if not tests:
                            self._learn()
                            began = targets.passed
                        tests.append(case)
                targets.passed += 1
                self._progress("evaluating", targets.passed / targets.total)
            self._population.apply(event)
            self._unlearnt.append(event)
            if isinstance(event, CourseEvent):
                self._first_us.setdefault(event.course_id, event.occurred_us)
        if tests:
            yield tests

    def _learn(self) -> None:
        """Let the models learn what has happened since they last did."""
        for event in self._unlearnt:
            for model in self._models.values():
                model.learn(event)
        self._unlearnt = []

    def _case(self, event: Enrolled) -> Case:
        """Return an enrolment that comes next, and its learner as he stands."""
        learner = self._population.learner(event.user_id, self._plan.hide_seen)
        first_us = self._first_us.get(event.course_id, event.occurred_us)
        return Case(learner, event.course_id, event.occurred_us, event.user_id, event.occurred_us - first_us < YOUNG_US)

    def _refit(self, until_us: int) -> None:
        """Fit every model on what was before a moment."""
        self._refits += 1
        self._progress(f"fitting, the {self._refits}. time", self._targets.passed / self._targets.total)
        known = self._known(until_us)
        for name, model in self._models.items():
            model.fit(self._variants[name].known(known) if name in self._variants else known)
        self._unlearnt = []

    def _known(self, until_us: int) -> Known:
        validation = self._targets.validation()
        return Known(
            self._interactions,
            self._text,
            self._content,
            self._catalogue,
            self._settings,
            self._plan.seed,
            until_us,
            validation_us=validation[0].occurred_us if validation else until_us,
            validation=list(blocks_of(validation, self._interactions)),
            population=deepcopy(self._population),
        )
