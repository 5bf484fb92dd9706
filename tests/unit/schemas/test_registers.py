"""Registers: joining is idempotent, commutative and associative, and what is packed is unpacked."""

import struct
import uuid

from hypothesis import given
from hypothesis import strategies as st

from schemas.ids import event_uuid
from schemas.registers import (
    FEEDBACK_CODES,
    Rank,
    Stamp,
    join_record,
    kind_of,
    pack_fraction,
    pack_score,
    pack_stamp,
    pack_text,
    register_bytes,
    split_record,
    unpack_fraction,
    unpack_score,
    unpack_stamp,
    unpack_text,
)

moments = st.integers(0, 4_102_444_800_000_000 - 1)
event_ids = st.uuids().map(str) | st.text(min_size=1, max_size=200)
near = st.integers(0, 2)
"""Few moments, so that ties happen."""

VALUES: dict[Rank, st.SearchStrategy[bytes]] = {
    Rank.ENROLLED: st.just(b""),
    Rank.DROPPED: st.just(b""),
    Rank.PROGRESSED: st.floats(0, 1, width=32).map(pack_fraction),
    Rank.COMPLETED: st.just(b""),
    Rank.RATED: st.floats(1, 5, width=32).map(lambda value: pack_score(value, 1, 5)),
    Rank.REVIEWED: st.text(max_size=50).map(lambda text: pack_text(text.encode())),
    Rank.GRADED: st.floats(0, 100, width=32).map(lambda value: pack_score(value, 0, 100)),
    Rank.FEEDBACK: st.sampled_from(list(FEEDBACK_CODES.values())).map(lambda code: bytes([code])),
    Rank.INTERESTS: st.just(pack_text(b'["sql"]')),
    Rank.GOALS: st.just(pack_text(b"[]")),
    Rank.LANGUAGES: st.just(pack_text(b'["en"]')),
    Rank.LEVEL: st.just(pack_text(b'"beginner"')),
}


@st.composite
def registers(draw: st.DrawFn) -> bytes:
    rank = draw(st.sampled_from(list(Rank)))
    stamp = pack_stamp(draw(near), rank, draw(st.sampled_from(["a", "b"])))
    return stamp + draw(VALUES[rank])


def join(*found: bytes) -> bytes:
    packed = b""
    for register in found:
        packed = join_record(packed, {kind_of(register): register})
    return packed


@st.composite
def records(draw: st.DrawFn) -> bytes:
    return join(*draw(st.lists(registers(), max_size=8)))


def test_every_rank_is_drawn_here() -> None:
    assert VALUES.keys() == set(Rank)


@given(records())
def test_joining_is_idempotent(record: bytes) -> None:
    assert join_record(record, split_record(record)) == record


@given(records(), records())
def test_joining_is_commutative(one: bytes, other: bytes) -> None:
    assert join_record(one, split_record(other)) == join_record(other, split_record(one))


@given(records(), records(), records())
def test_joining_is_associative(one: bytes, two: bytes, three: bytes) -> None:
    left = join_record(join_record(one, split_record(two)), split_record(three))
    right = join_record(one, split_record(join_record(two, split_record(three))))
    assert left == right


@given(st.data(), st.lists(registers(), max_size=8))
def test_order_and_repetition_do_not_matter(data: st.DataObject, found: list[bytes]) -> None:
    shuffled = data.draw(st.permutations(found + found[::2]))
    assert join(*shuffled) == join(*found)


@given(moments, st.sampled_from(list(Rank)), event_ids)
def test_a_stamp_survives(occurred_us: int, rank: Rank, event_id: str) -> None:
    packed = pack_stamp(occurred_us, rank, event_id)
    assert len(packed) == 24
    assert unpack_stamp(packed) == Stamp(occurred_us, rank, event_uuid(event_id))


@given(
    st.tuples(moments, st.sampled_from(list(Rank)), st.uuids()),
    st.tuples(moments, st.sampled_from(list(Rank)), st.uuids()),
)
def test_bytes_are_ordered_by_moment_then_rank_then_event(
    one: tuple[int, Rank, uuid.UUID], other: tuple[int, Rank, uuid.UUID]
) -> None:
    packed = [pack_stamp(moment, rank, str(event)) for moment, rank, event in (one, other)]
    plain = [(moment, rank, event.bytes) for moment, rank, event in (one, other)]
    assert (packed[0] < packed[1]) == (plain[0] < plain[1])


def test_a_later_event_wins_and_at_the_same_moment_the_higher_rank() -> None:
    early, late = pack_stamp(1, Rank.DROPPED, "a"), pack_stamp(2, Rank.ENROLLED, "a")
    assert join(early, late) == late
    enrolled, dropped = pack_stamp(1, Rank.ENROLLED, "z"), pack_stamp(1, Rank.DROPPED, "a")
    assert join(enrolled, dropped) == dropped


@given(registers())
def test_a_register_knows_its_length(register: bytes) -> None:
    assert register_bytes(register[7] & 15, register) == len(register)
    assert register_bytes(register[7] & 15, b"xx" + register, 2) == len(register)


@given(st.integers(0, 10_000), st.integers(0, 1_000), st.integers(1, 1_000))
def test_scores_come_back_as_people_wrote_them(value: int, low: int, width: int) -> None:
    score = (value / 100, float(low), float(low + width))
    assert unpack_score(bytes(24) + pack_score(*score)) == score


@given(st.floats(0, 1))
def test_a_fraction_comes_back_to_six_digits(fraction: float) -> None:
    found = unpack_fraction(bytes(24) + pack_fraction(fraction))
    assert 0 <= found <= 1
    assert abs(found - fraction) < 1e-6


@given(st.text(max_size=500))
def test_a_text_comes_back(text: str) -> None:
    register = bytes(24) + pack_text(text.encode())
    assert unpack_text(register).decode() == text
    assert struct.unpack_from(">H", register, 24)[0] == len(text.encode())
