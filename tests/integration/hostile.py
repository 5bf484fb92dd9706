"""Records that are no events, of every kind a hostile producer may think of, whatever the dice."""

import gzip
import json
import random
from collections.abc import Callable
from typing import Any, Final

from adapters.kafka import shard_of
from schemas.topics import ACTIVITY, LEARNER_EVENTS, MAX_MESSAGE_BYTES
from tests.integration.workers import PARTITIONS
from tests.wire import Wire, zstd_stored

FUTURE_S: Final = 4_000_000_000
_ABSENT: Final = object()


def learner_of(dice: random.Random, shard: int) -> str:
    """Return a learner of a shard."""
    while shard_of(user := f"hostile-{dice.randrange(10**9)}", PARTITIONS) != shard:
        pass
    return user


def body(dice: random.Random, topic: str, shard: int, **changes: Any) -> bytes:
    """Return an event of this shard as JSON, with fields changed or left out."""
    kind = "enrolled" if topic == LEARNER_EVENTS else "viewed"
    fields = {"type": kind, "event_id": "e", "user_id": learner_of(dice, shard), "course_id": "c01", "occurred_at": 5}
    return json.dumps({name: value for name, value in {**fields, **changes}.items() if value is not _ABSENT}).encode()


def _spoiled(dice: random.Random, good: bytes) -> bytes:
    """Put bytes that are no UTF-8 somewhere inside: in a key, in a value, between them."""
    at = dice.randrange(1, len(good) - 1)
    return good[:at] + dice.choice([b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\x00"]) + good[at:]


def _changed(dice: random.Random, topic: str, shard: int) -> bytes:
    changes: dict[str, Any] = dice.choice([
        {"schema_version": 2}, {"schema_version": 10**30}, {"schema_version": "1"}, {"type": "danced"}, {"type": 7},
        {"type": _ABSENT}, {"user_id": _ABSENT}, {"user_id": ""}, {"user_id": "n\0ul"}, {"user_id": "u" * 256},
        {"user_id": "\ud800"}, {"user_id": None}, {"course_id": _ABSENT}, {"course_id": ["c"]}, {"course_id": "\x1f"},
        {"occurred_at": FUTURE_S}, {"occurred_at": -1}, {"occurred_at": "yesterday"}, {"occurred_at": 10**400},
        {"occurred_at": float("nan")}, {"occurred_at": float("inf")}, {"occurred_at": "2026-01-01T00:00:00"},
        {"event_id": ""}, {"event_id": "e" * 201}, {"event_id": _ABSENT}, {"event_id": {}},
        {"type": "rated", "value": 9}, {"type": "rated", "value": 3, "scale": "5-1"}, {"type": "progressed"},
        {"type": "graded", "value": 1e308, "scale": "0-100"}, {"type": "feedback", "value": "meh"},
        {"type": "viewed" if topic == LEARNER_EVENTS else "completed"}, {"review": "x" * 70_000},
    ])  # fmt: skip
    return body(dice, topic, shard, **changes)


def _elsewhere(dice: random.Random, topic: str, shard: int) -> bytes:
    return body(dice, topic, (shard + dice.randrange(1, PARTITIONS)) % PARTITIONS)


def _cut(dice: random.Random, good: bytes) -> bytes:
    return good[: dice.randrange(len(good))]


def _huge(dice: random.Random, good: bytes) -> bytes:
    return good[:-1] + b" " * dice.choice([65_536, 300_000, MAX_MESSAGE_BYTES - 100_000]) + b"}"


_KINDS: Final[tuple[Callable[[random.Random, str, int], bytes | None], ...]] = (
    lambda dice, _topic, _shard: b"\xfe" + dice.randbytes(dice.randrange(300)),
    lambda dice, topic, shard: _cut(dice, body(dice, topic, shard)),
    lambda dice, topic, shard: _spoiled(dice, body(dice, topic, shard)),
    _changed,
    _changed,
    _elsewhere,
    lambda dice, topic, shard: body(dice, topic, shard).decode().encode(dice.choice(["utf-16", "utf-32", "cp037"])),
    lambda dice, topic, shard: gzip.compress(body(dice, topic, shard)),
    lambda dice, topic, shard: zstd_stored(body(dice, topic, shard)),
    lambda dice, _topic, _shard: dice.choice([b"[", b'{"a":', b'[{"user_id":']) * dice.randrange(1, 5_000),
    lambda dice, topic, shard: b"[" * 900 + body(dice, topic, shard) + b"]" * 900,
    lambda dice, topic, shard: body(dice, topic, shard) * 2,
    lambda dice, _topic, _shard: dice.choice([b"", b"null", b"[]", b"{}", b"0", b'"e"', b"\xef\xbb\xbf", b"\0" * 100]),
    lambda _dice, _topic, _shard: None,
)


def hostile(dice: random.Random, topic: str, shard: int) -> Wire:
    """Return a record that is no event there, with a key and headers that may be odd too."""
    value = dice.choice(_KINDS)(dice, topic, shard)
    return odd(dice, Wire(value))


def huge(dice: random.Random, topic: str, shard: int) -> Wire:
    """Return a record of which nothing is wrong but its size."""
    return Wire(_huge(dice, body(dice, topic, shard)))


def odd(dice: random.Random, record: Wire) -> Wire:
    """Give a record a key and headers that nobody expects."""
    key = dice.choice([b"k", b"k", None, b"", b"\0", b"\xff" * 7, b"x" * 5_000])
    headers = dice.choice([
        (), (), (), ((b"trace", b"1"),), ((b"", b""),), ((b"\xff\xfe", b"name that is not UTF-8"),), ((b"h", None),),
        ((b"retry-of", b"\xff"),), ((b"source-topic", b"forged"),), ((b"h" * 900, b"v" * 900),),
        tuple((b"h%d" % i, b"v") for i in range(100)),
    ])  # fmt: skip
    return record._replace(key=key, headers=headers)


def bomb(num_bytes: int) -> Wire:
    """Return a record that compresses a thousandfold."""
    return Wire(b"\0" * num_bytes)


TOPICS: Final = (LEARNER_EVENTS, LEARNER_EVENTS, ACTIVITY)
