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


def test_another_number_of_partitions_is_refused() -> None:
    state = fold(Genesis(partitions=4))
    state.check_partitions("learner-events", 4)
    with pytest.raises(ConfigurationError, match="has 8 partitions, but the state was founded with 4"):
        state.check_partitions("learner-events", 8)
