"""Control records fold to the same state everywhere, whatever stands between them."""

import pytest

from schemas.control import (
    ControlRecord,
    ControlState,
    GenerationSwapped,
    Genesis,
    ModelPromoted,
    ModelPublished,
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


def test_another_number_of_partitions_is_refused() -> None:
    state = fold(Genesis(partitions=4))
    state.check_partitions("learner-events", 4)
    with pytest.raises(ConfigurationError, match="has 8 partitions, but the state was founded with 4"):
        state.check_partitions("learner-events", 8)
