"""The bodies the API answers with: encoded by msgspec, documented from the same structs. Keys are never renamed."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal

import msgspec
from starlette.responses import Response

from schemas.cards import Summary

Status = Literal["enrolled", "completed", "dropped"]


class FieldError(msgspec.Struct, frozen=True):
    """What is wrong with one field of a request."""

    field: str
    detail: str


class Rejection(msgspec.Struct, frozen=True):
    """An event of a batch that was not taken: its place, the problem's type, and what is wrong, naming the field."""

    index: int
    type: str
    detail: str
    field: str = ""


class ProblemDetails(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a request was not served (RFC 9457, `application/problem+json`)."""

    type: str
    title: str
    status: int
    detail: str
    errors: tuple[FieldError, ...] = ()
    rejected: tuple[Rejection, ...] = ()


class Covered(msgspec.Struct, frozen=True):
    """An event of a batch, by its place, that an erasure of its learner deletes: it is stamped no later than that."""

    index: int
    erased_through: str


class Accepted(msgspec.Struct, frozen=True):
    """What Kafka acknowledged. `position`: the greatest TOPIC:PARTITION:OFFSET of each partition, comma-separated.

    `erased`: what was acknowledged although an erasure covers it, as far as it is known now: nobody will see it.
    """

    accepted: int
    position: str
    rejected: tuple[Rejection, ...] = ()
    erased: tuple[Covered, ...] = ()


class ErasureAccepted(msgspec.Struct, frozen=True, kw_only=True):
    """An erasure that Kafka acknowledged: what is stamped at or before `erased_through` is deleted, and stays so."""

    accepted: int = 1
    position: str
    erased_through: str


class Reason(msgspec.Struct, frozen=True):
    """Why a course is recommended: the kind of evidence, and the course and events of the history that caused it."""

    kind: str
    course_id: str | None
    text: str
    event_ids: tuple[str, ...] = ()


class Item(msgspec.Struct, frozen=True):
    """A recommended course. `topped_up`: it stands in a shared list; the learner's own ran short, or there is none.

    `predicted_grade`, of the strategy `grades` alone: as a fraction of the grade's scale.
    """

    course_id: str
    title: str
    score: float
    reasons: tuple[Reason, ...] = ()
    topped_up: bool = False
    predicted_grade: float | msgspec.UnsetType = msgspec.UNSET


class GradesAnswer(msgspec.Struct, frozen=True):
    """Courses that a grade sheet does not hold, highest predicted grade first. `unknown`: what the model
    knows nothing of, so that its grade was not used.
    """

    items: tuple[Item, ...]
    unknown: tuple[str, ...]
    model_version: str


class Recommendations(msgspec.Struct, frozen=True, kw_only=True):
    """A learner's list. `state_version`: positions of the last events it includes; `lag`: events not merged yet.

    `experiment` and `arm`: in which experiment, and in which arm of it, the learner was given this strategy.
    `generated_at` is null of a list that was made with the request, as by predicted grade.
    """

    user_id: str
    strategy: str
    items: tuple[Item, ...]
    model_version: str
    state_version: str
    generated_at: str | None
    age_s: float | None
    lag: int | None
    degraded: bool
    experiment: str | None = None
    arm: str | None = None


class CourseList(msgspec.Struct, frozen=True, kw_only=True):
    """Courses that many take, that many take now, that are new, or that are similar to `course_id`."""

    items: tuple[Item, ...]
    model_version: str
    generated_at: str | None
    age_s: float | None
    degraded: bool
    course_id: str | None = None


class FoundCourse(msgspec.Struct, frozen=True):
    """A course that was found."""

    course_id: str
    title: str
    category: str = ""
    language: str = ""
    level: str = ""


class FoundCourses(msgspec.Struct, frozen=True):
    """Courses whose titles match, best first."""

    items: tuple[FoundCourse, ...]


class CourseAnswer(Summary, frozen=True, omit_defaults=False):
    """A course as its card shows it."""

    degraded: bool = False


class LearnerCourse(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a learner and a course; null is unknown. `rating` and `grade` are on their scales."""

    course_id: str
    title: str
    status: Status
    enrolled_at: str | None = None
    progress: float | None = None
    rating: float | None = None
    rating_scale: str | None = None
    review: str | None = None
    grade: float | None = None
    grade_scale: str | None = None
    last_event_at: str | None = None


class Dashboard(msgspec.Struct, frozen=True, kw_only=True):
    """A learner's courses, the one with the newest event first."""

    user_id: str
    courses: tuple[LearnerCourse, ...]
    state_version: str
    lag: int | None
    degraded: bool


class KnownLearner(msgspec.Struct, frozen=True):
    """A learner the system knows."""

    user_id: str


class KnownLearners(msgspec.Struct, frozen=True):
    """Some learners of whom something was heard lately."""

    learners: tuple[KnownLearner, ...]


class EmbeddingAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A learner's embedding: the history tower's output."""

    user_id: str
    model_version: str
    dimensions: int
    embedding: tuple[float, ...]


class ModelQuality(msgspec.Struct, frozen=True):
    """How first enrolments stood in a model's lists: share within the first ten places, mean of 1 / place.

    `strategy`: a re-sort of the learner's list, or `shared`: there was none, so that what is popular stood. `history`:
    courses taken before: 0, 1, 2-5 or 6+. What had been taken holds no place; ties are lost; nowhere counts 0.
    """

    model_version: str
    strategy: str
    history: str
    tests: int
    hit_rate: float
    reciprocal_rank: float


class QualityAnswer(msgspec.Struct, frozen=True):
    """Live quality over some days, the last of them today."""

    days: int
    models: tuple[ModelQuality, ...]


class ArmFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What the learners of an arm did since each was first given a list in it; null: not known any more.

    `learners` who were given one, `lists` given, courses `clicks` were on, first `enrolments` in a course. `tests`:
    learners, each by the course he first enrolled in with a list of his own; `hits`: those whose course stood in its
    first ten places; `hit_rate` with a confidence sequence of 95 %: bounds that hold however often they are looked at.
    `model` is null of the live one; `refused`: why workers could not take it, so that the live one is given instead.
    """

    name: str
    strategy: str
    share: float
    model: str | None = None
    refused: str | None = None
    learners: int | None = None
    lists: int | None = None
    clicks: int | None = None
    enrolments: int | None = None
    tests: int | None = None
    hits: int | None = None
    hit_rate: float | None = None
    hit_rate_low: float | None = None
    hit_rate_high: float | None = None


class ArmComparison(msgspec.Struct, frozen=True, kw_only=True):
    """An arm against the first one, the control, by hits a learner of the arm.

    `effect`: the relative difference (0.1: a tenth more), null if the control has no hit; `low`, `high` (null: none):
    its confidence sequence of 95 %; `p_value`: always valid. If arms make no difference, the probability that any of
    them is ever called `better` or `worse` is at most 5 %, however often that is looked at.
    """

    arm: str
    control: str
    effect: float | None
    low: float
    high: float | None
    p_value: float
    verdict: Literal["undecided", "better", "worse"]


class ExperimentAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An experiment, live."""

    name: str
    state: Literal["running", "ended"]
    started_at: str
    ended_at: str | None
    reason: str
    arms: tuple[ArmFigures, ...]
    comparisons: tuple[ArmComparison, ...]


class ExperimentsAnswer(msgspec.Struct, frozen=True):
    """All experiments, the newest first."""

    experiments: tuple[ExperimentAnswer, ...]


class Health(msgspec.Struct, frozen=True):
    """Whether the process can do its work, what it lacks, and which shards' learners get degraded answers."""

    status: Literal["ok", "not ready"]
    missing: tuple[str, ...] = ()
    degraded_shards: tuple[int, ...] = ()


def respond(body: msgspec.Struct, status: int = 200) -> Response:
    """Return the response that holds `body` as JSON."""
    return Response(msgspec.json.encode(body), status, media_type="application/json")


def iso(moment_us: int) -> str:
    """Return microseconds since 1970 as ISO 8601, UTC.

    >>> iso(1_500_000)
    '1970-01-01T00:00:01.500000Z'
    """
    seconds, micros = divmod(moment_us, 1_000_000)
    return f"{_to_the_second(seconds)}.{micros:06d}Z"


@lru_cache(10_000)
def _to_the_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
