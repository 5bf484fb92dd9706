"""Requests for refits: which of them a training has answered."""

from aiokafka import ConsumerRecord

from schemas.control import ControlRecord, ModelPublished, ModelRefused, RefitEnded, RefitRequested, encode_control
from trainer.app import Decisions


def _after(*records: ControlRecord) -> Decisions:
    decisions = Decisions("unused:1")
    for offset, record in enumerate(records):
        value = encode_control(record)
        decisions.take(
            ConsumerRecord(
                topic="control", partition=0, offset=offset, timestamp=1_000, timestamp_type=1, key=None, value=value,
                checksum=None, serialized_key_size=0, serialized_value_size=len(value), headers=(),
            )
        )  # fmt: skip
    return decisions


def test_a_request_is_open_until_a_training_that_began_later_says_so() -> None:
    asked, made = RefitRequested(force=True), ModelPublished(version="m", digest="d")
    assert _after(asked).request == asked
    assert _after(asked, made, ModelRefused(version="n", digest="d")).request == asked  # of a training before
    assert _after(asked, made, RefitEnded(requested=0, published=True)).request is None
    assert _after(asked, RefitRequested(), RefitEnded(requested=0, published=True)).request == RefitRequested()
    assert _after(asked, RefitRequested(), RefitEnded(requested=1, published=False)).request is None
