"""Packed lists, headers, pending writes, embeddings, cards and activity: what goes in comes out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.activity import MAX_SEARCHES, pack_moment, pack_searches, unpack_moment, unpack_searches
from schemas.candidates import (
    COMPONENTS,
    MAX_CANDIDATES,
    NO_CAUSE,
    Candidate,
    CandidateList,
    Source,
    Version,
    pack_candidates,
    unpack_candidates,
    unpack_version,
)
from schemas.cards import card_of, pack_card, unpack_card
from schemas.courses import Course
from schemas.embedding import pack_embedding, unpack_embedding
from schemas.meta import Header, Meta, Status, pack_header, unpack_header, unpack_meta
from schemas.pending import Pending, pack_pending, unpack_pending
from schemas.registers import Rank

offsets = st.integers(-1, 2**63)
moments = st.integers(0, 4_102_444_800_000_000)
ids = st.text(st.characters(exclude_categories=["Cs"], min_codepoint=32), min_size=1, max_size=60)
levels = st.floats(-1e3, 1e3, width=32)


@st.composite
def lists(draw: st.DrawFn) -> CandidateList:
    causes = draw(st.lists(ids, max_size=4))
    cause = st.none() | st.integers(0, len(causes) - 1) if causes else st.none()
    row = st.builds(
        Candidate,
        ids,
        st.floats(-100, 100, width=16),
        st.tuples(*[levels] * len(COMPONENTS)),
        st.sampled_from(list(Source)),
        cause,
    )
    rows = draw(st.lists(row, max_size=12))
    version = draw(st.builds(Version, offsets, offsets, offsets, offsets))
    return CandidateList(version, draw(moments), tuple(causes), tuple(rows))


@given(lists())
def test_a_candidate_list_comes_back_within_its_tolerance(source: CandidateList) -> None:
    packed = pack_candidates(source)
    found = unpack_candidates(packed)
    assert unpack_version(packed) == source.version
    assert found[:3] == source[:3]
    columns = list(zip(*(row.components for row in source.candidates), strict=True))
    steps = [(max(column) - min(column)) / 255 for column in columns]
    for row, expected in zip(found.candidates, source.candidates, strict=True):
        assert (row.course_id, row.score, row.source, row.cause) == (
            expected.course_id,
            expected.score,
            expected.source,
            expected.cause,
        )
        for value, true, step in zip(row.components, expected.components, steps, strict=True):
            assert abs(value - true) <= step * 0.51 + 1e-9


def full_list(num_candidates: int, num_causes: int) -> CandidateList:
    causes = tuple(f"c{i}" for i in range(num_causes))
    rows = tuple(
        Candidate(f"{i:05d}", 0.5, (0.0,) * len(COMPONENTS), Source.POPULAR, None) for i in range(num_candidates)
    )
    return CandidateList(Version(1, 1, 1, 1), 1, causes, rows)


def test_a_list_has_a_bounded_size() -> None:
    assert len(unpack_candidates(pack_candidates(full_list(MAX_CANDIDATES, NO_CAUSE - 1))).causes) == NO_CAUSE - 1
    assert len(pack_candidates(full_list(100, 10))) < 1_800
    for too_large in (full_list(MAX_CANDIDATES + 1, 0), full_list(1, NO_CAUSE)):
        with pytest.raises(ValueError, match="a list holds at most"):
            pack_candidates(too_large)


def test_a_list_of_another_layout_is_refused() -> None:
    packed = pack_candidates(full_list(1, 0))
    with pytest.raises(ValueError, match="layout 9, expected 1"):
        unpack_candidates(b"\x09" + packed[1:])


@given(st.builds(Header, offsets, offsets, moments, offsets))
def test_a_header_comes_back(header: Header) -> None:
    assert len(pack_header(header)) == 32
    assert unpack_header(pack_header(header)) == header


def test_a_meta_is_read_from_its_hash_or_is_absent() -> None:
    fields = {b"generation": b"2", b"status": b"live", b"nonce": b"ab" * 16, b"applied": b"-1"}
    assert unpack_meta(fields) == Meta(2, Status.LIVE, "ab" * 16, -1)
    assert unpack_meta({**fields, b"sweep": b"7:3 12"}) == Meta(2, Status.LIVE, "ab" * 16, -1, "7:3 12")
    assert unpack_meta({}) is None


@given(st.integers(0, 2**63), st.sampled_from(list(Rank)))
def test_a_pending_write_comes_back(offset: int, rank: Rank) -> None:
    assert len(pack_pending(Pending(offset, rank))) == 9
    assert unpack_pending(pack_pending(Pending(offset, rank))) == (offset, rank)


@given(st.integers(-1, 2**63), st.lists(st.floats(-100, 100, width=16), max_size=64))
def test_an_embedding_comes_back(epoch: int, vector: list[float]) -> None:
    packed = pack_embedding(epoch, vector)
    assert len(packed) == 8 + 2 * len(vector)
    assert unpack_embedding(packed) == (epoch, tuple(vector))


def test_a_card_shows_the_title_or_else_the_id() -> None:
    course = Course(course_id="c1", title="SQL", description="long", price=0.0, prerequisites=("c0",), retired=True)
    card = card_of(course, bytes(range(32)))
    assert unpack_card(pack_card(card)) == card
    assert "sketch" not in card.shown and card.shown["title"] == "SQL"
    assert (card.title, card.price, card.prerequisites, card.retired) == ("SQL", 0.0, ("c0",), True)
    assert card_of(Course(course_id="c2")).title == "c2"


@given(st.lists(st.tuples(moments, st.text(st.characters(exclude_categories=["Cs"]), min_size=1)), max_size=40))
def test_the_newest_searches_come_back_each_once(searches: list[tuple[int, str]]) -> None:
    found = unpack_searches(pack_searches(searches))
    assert set(found) <= set(searches)
    assert found == sorted(found, reverse=True)
    assert len({query for _, query in found}) == len(found) == min(len({query for _, query in searches}), MAX_SEARCHES)


@given(moments)
def test_moments_are_ordered_as_bytes(moment: int) -> None:
    assert unpack_moment(pack_moment(moment)) == moment
    assert pack_moment(moment) < pack_moment(moment + 1)
