"""Control records fold to the same state everywhere, whatever stands between them."""

import pytest

from schemas.control import (
    ControlRecord,
    ControlState,
    GenerationSwapped,
    Genesis,
    ModelPromoted,
    ModelPublished,
    ModelRefused,
    encode_control,
)
from schemas.errors import ConfigurationError
from schemas.experiments import Arm, ArmModelRefused, Experiment, ExperimentEnded, ExperimentStarted, Refusal


def fold(*records: ControlRecord | bytes) -> ControlState:
    state = ControlState()
    for offset, record in enumerate(records):
        raw = record if isinstance(record, bytes) else encode_control(record)
        state = state.apply(raw, offset, appended_ms=1_000 + offset)
    return state


@pytest.mark.parametrize(
    "raw", [b"", b"hello", b'{"kind": "from_later"}', b'{"kind": "genesis", "x": "\xff"}', b"[" * 99_999]
)
def test_a_record_of_no_known_kind_is_counted_and_skipped(raw: bytes) -> None:
    state = fold(Genesis(partitions=4), raw, GenerationSwapped(generation=2))
    assert (state.partitions, state.generation, state.generation_offset) == (4, 2, 2)
    assert (state.unknown, state.offset) == (1, 2)


def test_only_the_first_genesis_counts_and_only_published_models_are_promoted() -> None:
    state = fold(
        Genesis(partitions=4),
        Genesis(partitions=8),
        ModelPromoted(version="unknown"),
        ModelPublished(version="v1", digest="d"),
    )
    assert (state.partitions, state.model_version, state.model_epoch) == (4, "", -1)
    assert state.models["v1"].published_ms == 1_003
    assert not state.models["v1"].promoted


def test_a_refused_model_is_known_until_it_is_published_after_all() -> None:
    refused = ModelRefused(version="v1", digest="d", reason="worse", metrics={"hr@10": 0.1})
    state = fold(Genesis(partitions=4), refused)
    assert state.refused["v1"].record == refused and state.refused["v1"].refused_ms == 1_001
    assert (state.models, state.model_version, state.unknown) == ({}, "", 0)
    state = fold(Genesis(partitions=4), refused, ModelPublished(version="v1", digest="d"), refused)
    assert state.refused == {} and "v1" in state.models


def test_a_published_model_of_before_reads_with_defaults() -> None:
    state = fold(b'{"kind":"model_published","version":"v","digest":"d","metrics":{"hr@10":0.5}}')
    assert state.models["v"].record.comparisons == () and state.models["v"].record.reason == ""


def started(name: str) -> ExperimentStarted:
    arms = tuple(Arm(name=one, strategy=one, share=0.5) for one in ("hybrid", "popular"))
    return ExperimentStarted(name=name, salt="s", arms=arms)


def test_one_experiment_runs_at_a_time_and_a_name_stands_for_one() -> None:
    state = fold(Genesis(partitions=4), started("a"), started("b"), ExperimentEnded(name="b"))
    assert state.experiment == Experiment(started("a"), epoch=1, started_ms=1_001)
    assert state.experiments == {"a": state.experiment}
    state = fold(started("a"), ExperimentEnded(name="a", reason="seen"), started("a"), started("b"))
    assert state.experiments["a"] == Experiment(started("a"), 0, 1_000, ended_ms=1_001, reason="seen", ended_epoch=1)
    assert state.experiment == state.experiments["b"] == Experiment(started("b"), 3, 1_003)
    state = fold(started("a"), ExperimentEnded(name="a"), ExperimentEnded(name="a", reason="again"))
    assert state.experiment is None and state.experiments["a"].reason == ""


def by_model(*versions: str) -> ExperimentStarted:
    """Return an experiment `x` between the live model and these, in equal parts."""
    models = ("", *versions)
    arms = tuple(Arm(name=one or "live", model=one, share=1 / len(models)) for one in models)
    return ExperimentStarted(name="x", salt="s", arms=arms)


V1, V2 = (ModelPublished(version=version, digest="d") for version in ("v1", "v2"))


def test_arms_name_models_that_were_published() -> None:
    assert fold(V1, by_model("v1", "v2")).experiment is None
    state = fold(V1, V2, by_model("v1", "v2"))
    assert state.experiment and state.experiment.versions == {"v1", "v2"}


def test_a_model_of_an_arm_is_refused_once_and_only_while_the_experiment_runs() -> None:
    refused = ArmModelRefused(experiment="x", version="v1", reason="gone")
    state = fold(V1, V2, by_model("v1", "v2"), refused, ArmModelRefused(experiment="x", version="v1", reason="again"))
    assert state.experiment and state.experiment == state.experiments["x"]
    assert state.experiment.versions == {"v2"} and state.experiment.refusals == (Refusal("v1", 3, "gone"),)
    live, first, second = state.experiment.record.arms
    assert [state.experiment.back_epoch(arm) for arm in (live, first, second)] == [-1, 3, -1]
    ended = fold(V1, V2, by_model("v1", "v2"), refused, ExperimentEnded(name="x"))
    assert [ended.experiments["x"].back_epoch(arm) for arm in (live, first, second)] == [-1, 3, 4]
    for nothing in (
        ArmModelRefused(experiment="y", version="v1"),
        ArmModelRefused(experiment="x", version="v9"),
        ArmModelRefused(experiment="x", version=""),
    ):
        state = fold(V1, by_model("v1"), nothing)
        assert state.experiment and state.experiment.refusals == ()
    after = fold(V1, by_model("v1"), ExperimentEnded(name="x"), refused)
    assert after.experiment is None and after.experiments["x"].refusals == ()


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (b'"share":0.5', b'"share":0.4'),
        (b'"share":0.5', b'"share":0'),
        (b'"name":"popular"', b'"name":"hybrid"'),
        (b'"strategy":"popular"', b'"strategy":"from_later"'),
        (b'"name":"a"', b'"name":"a b"'),
        (b'"salt":"s"', b'"salt":""'),
    ],
)
def test_what_is_no_experiment_starts_none(good: bytes, bad: bytes) -> None:
    raw = encode_control(started("a"))
    assert good in raw
    state = fold(raw.replace(good, bad, 1))
    assert (state.experiment, state.unknown) == (None, 1)


def test_another_number_of_partitions_is_refused() -> None:
    state = fold(Genesis(partitions=4))
    state.check_partitions("learner-events", 4)
    with pytest.raises(ConfigurationError, match="has 8 partitions, but the state was founded with 4"):
        state.check_partitions("learner-events", 8)
