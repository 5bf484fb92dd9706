"""Records of the topic `control`: every decision that changes what is live, and the state they add up to."""

from dataclasses import dataclass, field, replace
from typing import Final

import msgspec

from schemas.errors import ConfigurationError
from schemas.experiments import ArmModelRefused, Experiment, ExperimentEnded, ExperimentStarted, arm_of
from schemas.manifest import Comparison

REMEMBERED: Final = 10
"""Moments of quarantine that are kept: as many as a worker may leave out before anything has worked."""


class Genesis(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="genesis"):
    """The first record: the number of shards, for ever, and the first generation."""

    partitions: int
    generation: int = 0


class ModelPublished(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="model_published"):
    """A bundle stands under `BUNDLE_URL/VERSION`; it is not live by this."""

    version: str
    digest: str
    bootstrap: bool = False
    offsets: dict[str, list[int]] = {}
    metrics: dict[str, float] = {}
    champion_metrics: dict[str, float] = {}
    popular_metrics: dict[str, float] = {}
    comparisons: tuple[Comparison, ...] = ()
    reason: str = ""


class ModelRefused(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="model_refused"):
    """A model was made and did not pass the gate; there is no bundle of it."""

    version: str
    digest: str
    offsets: dict[str, list[int]] = {}
    metrics: dict[str, float] = {}
    champion_metrics: dict[str, float] = {}
    popular_metrics: dict[str, float] = {}
    comparisons: tuple[Comparison, ...] = ()
    reason: str = ""


class ModelPromoted(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="model_promoted"):
    """This version is live from here on; this record's offset is the model epoch."""

    version: str
    reason: str = ""


class ModelRolledBack(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="model_rolled_back"):
    """This earlier version is live again."""

    version: str
    reason: str = ""


class GenerationSwapped(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="generation_swapped"):
    """This generation of the state is live from here on."""

    generation: int
    digest: str = ""


class RecordQuarantined(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="record_quarantined"):
    """This record breaks the code; it is treated as a dead letter, by replays too."""

    topic: str
    partition: int
    offset: int
    reason: str


class RefitRequested(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="refit_requested"):
    """Somebody asked for a refit now."""

    force: bool = False


class RefitEnded(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="refit_ended"):
    """All requests up to the offset `requested` of this topic are answered by one training.

    `offsets`: up to where it read the log, and so brought its snapshot. `version` is empty if no model was made.
    """

    requested: int
    published: bool
    version: str = ""
    offsets: dict[str, list[int]] = {}
    reason: str = ""


ControlRecord = (
    Genesis
    | ModelPublished
    | ModelRefused
    | ModelPromoted
    | ModelRolledBack
    | GenerationSwapped
    | RecordQuarantined
    | RefitRequested
    | RefitEnded
    | ExperimentStarted
    | ExperimentEnded
    | ArmModelRefused
)
_decoder: Final[msgspec.json.Decoder[ControlRecord]] = msgspec.json.Decoder(ControlRecord)


def encode_control(record: ControlRecord) -> bytes:
    """Return a record's bytes."""
    return msgspec.json.encode(record)


def decode_control(raw: bytes) -> ControlRecord:
    """Return the record; msgspec.DecodeError if it is of a kind this version does not know."""
    return _decoder.decode(raw)


@dataclass(frozen=True)
class PublishedModel:
    """A published version and whether it has ever been live."""

    record: ModelPublished
    offset: int
    published_ms: int
    promoted: bool = False


@dataclass(frozen=True)
class RefusedModel:
    """A version that did not pass the gate."""

    record: ModelRefused
    refused_ms: int


@dataclass(frozen=True)
class ControlState:
    """What is live after the records up to `offset`. Folding is pure: every process comes to the same state."""

    offset: int = -1
    partitions: int = 0
    generation: int = 0
    generation_offset: int = -1
    model_version: str = ""
    model_epoch: int = -1
    models: dict[str, PublishedModel] = field(default_factory=dict)
    lives: tuple[tuple[int, str], ...] = ()
    """(epoch, version) of every model that has been live, the newest last."""
    refused: dict[str, RefusedModel] = field(default_factory=dict)
    """Versions that did not pass the gate and were not published later."""
    quarantined: frozenset[tuple[str, int, int]] = frozenset()
    quarantined_ms: tuple[int, ...] = ()
    """When the last `REMEMBERED` of them were."""
    experiments: dict[str, Experiment] = field(default_factory=dict)
    """By name, oldest first; at most one of them, `experiment`, has not ended."""
    experiment: Experiment | None = None
    unknown: int = 0

    def apply(self, raw: bytes, offset: int, appended_ms: int) -> "ControlState":
        """Return the state after one more record; one of a kind from a later version is counted and skipped."""
        try:
            record = decode_control(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return replace(self, offset=offset, unknown=self.unknown + 1)
        state = replace(self, offset=offset)
        match record:
            case Genesis() if self.partitions == 0:
                return replace(state, partitions=record.partitions, generation=record.generation)
            case ModelPublished():
                model = PublishedModel(record, offset, appended_ms)
                refused = {name: one for name, one in self.refused.items() if name != record.version}
                return replace(state, models={**self.models, record.version: model}, refused=refused)
            case ModelRefused() if record.version not in self.models:
                return replace(state, refused={**self.refused, record.version: RefusedModel(record, appended_ms)})
            case ModelPromoted() | ModelRolledBack() if record.version in self.models:
                model = replace(self.models[record.version], promoted=True)
                models = {**self.models, record.version: model}
                lives = (*self.lives, (offset, record.version))
                return replace(state, model_version=record.version, model_epoch=offset, models=models, lives=lives)
            case GenerationSwapped():
                return replace(state, generation=record.generation, generation_offset=offset)
            case RecordQuarantined():
                place = (record.topic, record.partition, record.offset)
                moments = (*self.quarantined_ms, appended_ms)[-REMEMBERED:]
                return replace(state, quarantined=self.quarantined | {place}, quarantined_ms=moments)
            case ExperimentStarted() | ExperimentEnded() | ArmModelRefused():
                return state._experimented(record, appended_ms)
            case _:
                return state

    def _experimented(
        self, record: ExperimentStarted | ExperimentEnded | ArmModelRefused, appended_ms: int
    ) -> "ControlState":
        """Return the state after a record of an experiment, the last one read."""
        running = self.experiment
        match record:
            case ExperimentStarted() if running is None and record.name not in self.experiments:
                started = Experiment(record, self.offset, appended_ms)
                return self._with(started, running=True) if started.versions <= self.models.keys() else self
            case ExperimentEnded() if running and record.name == running.record.name:
                ended = replace(running, ended_ms=appended_ms, ended_epoch=self.offset, reason=record.reason)
                return self._with(ended, running=False)
            case ArmModelRefused() if running and record.experiment == running.record.name:
                return self._with(running.without(record, self.offset), running=True)
            case _:
                return self

    def _with(self, experiment: Experiment, running: bool) -> "ControlState":
        experiments = {**self.experiments, experiment.record.name: experiment}
        return replace(self, experiments=experiments, experiment=experiment if running else None)

    def version_of(self, epoch: int, user_id: str = "") -> str:
        """Return the model that a list of this epoch was made with; empty if there was none, or it is not known yet.

        A list's epoch is the offset of what last decided about the learner's model: a promotion or rollback; of who is
        in an arm with a model, the start of the experiment; of who was, its end or the model's refusal.
        """
        if epoch == self.model_epoch:
            return self.model_version
        if epoch > self.offset:
            return ""
        version = self._arm_model(epoch, user_id)
        return version or next((version for began, version in reversed(self.lives) if began <= epoch), "")

    def judged_epoch(self, epoch: int, user_id: str) -> int:
        """Return what live quality is added up by: of an arm's list the publication of its model, not the start of all.

        Such offsets are no epochs of lists.
        """
        version = self._arm_model(epoch, user_id)
        return self.models[version].offset if version else epoch

    def _arm_model(self, epoch: int, user_id: str) -> str:
        """Return the model of a learner's arm in the experiment that started at an epoch, if one did."""
        started = next((one for one in self.experiments.values() if one.epoch == epoch), None)
        return arm_of(user_id, started).model if started else ""

    def check_partitions(self, topic: str, partitions: int) -> None:
        """Raise ConfigurationError unless the broker's topic has the number of shards fixed at the start."""
        if self.partitions and self.partitions != partitions:
            raise ConfigurationError(
                f"topic {topic} has {partitions} partitions, but the state was founded with {self.partitions}; "
                "the number never changes: export the log and import it into a new system"
            )
