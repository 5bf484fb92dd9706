"""Experiments: learners are split by hash between arms, each with a strategy or a model of its own.

What an arm's learners do is added up by shard in two hashes outside generations, soft state that counts what was seen,
is not rebuilt, and expires: figures, by `ARM MEASURE`; and marks, by the learner's draw: `0` once a list was given, `1`
once the first test is counted.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec import Meta

from schemas.candidates import Strategy

KEPT_DAYS: Final = 30
"""Figures and marks outlive the last thing they counted by so much."""

FEWEST_ARMS: Final = 2
MOST_ARMS: Final = 10

Name = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_.-]{1,40}\Z", description="1 to 40 letters, digits, `_`, `.`, `-`.")]
Salt = Annotated[str, Meta(pattern=r"\A[!-~]{1,64}\Z", description="Key of the hash: another salt, another split.")]


class Arm(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the learners, and what their lists are made with and sorted by.

    `model` is a published version; empty: the live one, whichever that is.
    """

    name: Name
    strategy: Strategy = "hybrid"
    share: Annotated[float, Meta(gt=0, lt=1)]
    model: str = ""


class ExperimentStarted(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="experiment_started"):
    """From here on learners are split between these arms; the first one is the control."""

    name: Name
    salt: Salt
    arms: Annotated[tuple[Arm, ...], Meta(min_length=FEWEST_ARMS, max_length=MOST_ARMS)]

    def __post_init__(self) -> None:
        names = [arm.name for arm in self.arms]
        if len(set(names)) < len(names):
            raise ValueError(f"the arms {', '.join(names)} do not all have names of their own")
        total = math.fsum(arm.share for arm in self.arms)
        if not math.isclose(total, 1, abs_tol=1e-6):
            raise ValueError(f"the shares of the arms add up to {total:g}, not to 1")


class ExperimentEnded(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="experiment_ended"):
    """From here on every learner is given the default list again."""

    name: Name
    reason: str = ""


class ArmModelRefused(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="arm_model_refused"):
    """A worker could not take this model: from here on learners of its arms are given the live one, everywhere."""

    experiment: Name
    version: str
    reason: str = ""


class Refusal(NamedTuple):
    """A model that was refused, from which offset in `control` on, and why."""

    version: str
    epoch: int
    reason: str


@dataclass(frozen=True)
class Experiment:
    """An experiment, and the offset in `control` and the append times of what started and ended it."""

    record: ExperimentStarted
    epoch: int
    started_ms: int
    ended_ms: int | None = None
    reason: str = ""
    ended_epoch: int = -1
    refusals: tuple[Refusal, ...] = ()

    @property
    def versions(self) -> frozenset[str]:
        """The models that its arms name and that were not refused."""
        refused = {refusal.version for refusal in self.refusals}
        return frozenset(arm.model for arm in self.record.arms if arm.model and arm.model not in refused)

    def model_of(self, user_id: str) -> str:
        """Return the model that a learner's lists are to be made with while it runs; empty: the live one."""
        model = arm_of(user_id, self).model
        return model if model in self.versions else ""

    def without(self, refused: ArmModelRefused, offset: int) -> "Experiment":
        """Return the experiment without a model of its arms; the first refusal of a model counts."""
        if refused.version not in self.versions:
            return self
        return replace(self, refusals=(*self.refusals, Refusal(refused.version, offset, refused.reason)))

    def refusal_of(self, arm: Arm) -> Refusal | None:
        """Return why an arm is not given its model."""
        return next((refusal for refusal in self.refusals if refusal.version == arm.model), None)

    def back_epoch(self, arm: Arm) -> int:
        """Return the offset from which on learners of an arm with a model are given the live one again, else -1."""
        refusal = self.refusal_of(arm)
        return refusal.epoch if refusal else self.ended_epoch if arm.model else -1


def draw_of(user_id: str, experiment: Experiment) -> bytes:
    """Return 8 bytes that look random, and are always the same of a learner and a salt."""
    return blake2b(user_id.encode(), key=experiment.record.salt.encode(), digest_size=8).digest()


def arm_of(user_id: str, experiment: Experiment) -> Arm:
    """Return the arm that a learner is in for as long as the experiment runs.

    >>> halves = tuple(Arm(name=name, strategy="hybrid", share=0.5) for name in "ab")
    >>> experiment = Experiment(ExperimentStarted(name="aa", salt="s", arms=halves), epoch=7, started_ms=0)
    >>> [arm_of(user_id, experiment).name for user_id in ("u1", "u2", "u3", "u4")]
    ['a', 'b', 'b', 'a']
    """
    point = int.from_bytes(draw_of(user_id, experiment), "big") / 2**64
    *others, last = experiment.record.arms
    for arm in others:
        point -= arm.share
        if point < 0:
            return arm
    return last


class Figures(NamedTuple):
    """What an arm's learners did since they were first given a list.

    `learners` who were given one, `lists` given, courses `clicks` were on, first `enrolments`; `tests`: learners with a
    list of their own whose first enrolment was looked up in it, `hits` of them within its first `CUTOFF` places.
    """

    learners: int = 0
    lists: int = 0
    clicks: int = 0
    enrolments: int = 0
    tests: int = 0
    hits: int = 0


def add_fields(figures: dict[str, Figures], fields: Mapping[bytes, bytes]) -> None:
    """Add a shard's hash, as Redis answers it, to the figures by arm.

    >>> found = {"a": Figures(learners=1)}
    >>> add_fields(found, {b"a learners": b"2", b"b hits": b"1"})
    >>> found["a"].learners, found["b"].hits
    (3, 1)
    """
    for field, value in fields.items():
        arm, measure = field.decode().split(" ")
        own = figures.get(arm, Figures())
        figures[arm] = own._replace(**{measure: getattr(own, measure) + int(value)})
