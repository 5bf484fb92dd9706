"""The fast lane's list: the JSON of the items straight from a packed list, no object an item.

Byte for byte what `api/lists.py` answers for a learner with a list that is long enough, sorted as it stands; None where
more would have to be known. What items are made of is encoded once a course, a score and a source.
"""

from binascii import hexlify
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from struct import Struct
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from api.dashboard import status_of
from api.lists import draw_of_packed
from api.shared import SharedCache
from recommender.history import record_stamp
from recommender.reasons import reason_of
from recommender.resort import give_away, places_to_explore
from schemas.candidates import (
    COMPONENTS,
    VERSION_AT,
    VERSION_BYTES,
    Candidate,
    Places,
    Source,
    components_of,
    score_of,
)
from schemas.registers import STAMP_BYTES, Rank, split_record

_POPULAR: Final = COMPONENTS.index("popular")
_ENROLLED: Final = int(Rank.ENROLLED)
_NEW: Final = int(Source.NEW)
_POPULAR_SOURCE: Final = int(Source.POPULAR)
_MOST_FRAGMENTS: Final = 50_000
_UUID_PARTS: Final = Struct("8s4s4s4s12s").unpack
_json: Final = msgspec.json.Encoder().encode


class Own(NamedTuple):
    """A learner's packed list and what a reader has to know beside it: his records, and the courses he refused."""

    user_id: str
    packed: bytes
    places: Places
    records: Mapping[bytes, bytes]
    refused: AbstractSet[bytes]


class _Fragment(NamedTuple):
    """What a course adds to the JSON: as an item, from comma to score; as the cause of one, up to the event."""

    item: bytes
    cause: bytes
    is_retired: bool


class _UnknownCourseError(Exception):
    """A course whose card is not in memory."""


def _alone(source: Source, untaken: bool = False) -> bytes:
    """Return what stands behind the score of an item without a cause."""
    components = (0.0 if untaken else 1.0,) * len(COMPONENTS)
    reason = reason_of(Candidate("", 0.0, components, source, None), (), {}, lambda _: [])
    return b',"reasons":[%b],"topped_up":false}' % _json(reason)


_ALONE: Final = [_alone(source) for source in Source]
_UNTAKEN: Final = _alone(Source.POPULAR, untaken=True)
_CAUSED: Final = [b',"reasons":[{"kind":%b,' % _json(source.name.lower()) for source in Source]
_END_OF_CAUSED: Final = b'"]}],"topped_up":false}'


def _because(course_id: str, title: str) -> str:
    candidate = Candidate("", 0.0, (), Source.COLLABORATIVE, 0)
    return reason_of(candidate, (course_id,), {course_id: title}, lambda _: ["an event"])["text"]


def event_of(record: bytes | None) -> bytes:
    """Return the event that put a course into the history; empty if it is not there, or was dropped."""
    if not record:
        return b""
    if record[7] & 15 == _ENROLLED:  # registers stand in the order of their kinds
        return b"-".join(_UUID_PARTS(hexlify(record[8:STAMP_BYTES])))  # `UUID` takes five times as long
    registers = split_record(record)
    return b"" if status_of(registers) == "dropped" else str(UUID(bytes=record_stamp(registers)[1])).encode()


class ListWriter:
    """Writes lists; remembers what courses and scores look like."""

    def __init__(self, shared: SharedCache) -> None:
        self._shared = shared
        self._cards = shared.known_cards
        self._fragments: dict[bytes, _Fragment] = {}
        self._scores: dict[bytes, bytes] = {}

    def items(self, own: Own, limit: int) -> bytes | None:
        """Return the items' JSON, without brackets; None if the list is too short, or a card is not in memory."""
        if self._cards is not self._shared.known_cards or len(self._fragments) > _MOST_FRAGMENTS:
            self._cards, self._fragments = self._shared.known_cards, {}
        try:
            chosen = self._chosen(own, limit)
            return self._written(own, chosen) if chosen else None
        except _UnknownCourseError:
            return None

    def _fragment(self, course: bytes) -> _Fragment:
        """Return a course's fragment, made now."""
        course_id = course.decode()
        card = self._cards.get(course_id)
        if card is None:
            raise _UnknownCourseError(course_id)
        title = card.title or course_id
        item = b',{"course_id":%b,"title":%b,"score":' % (_json(course_id), _json(title))
        cause = b'"course_id":%b,"text":%b,"event_ids":["' % (_json(course_id), _json(_because(course_id, title)))
        fragment = self._fragments[course] = _Fragment(item, cause, card.retired)
        return fragment

    def _allowed(self, own: Own, limit: int) -> list[tuple[int, _Fragment]]:
        """Return the first so many that may be shown."""
        packed, places, records, refused = own.packed, own.places, own.records, own.refused
        at, allowed, fragments = places.ids, [], self._fragments
        for place, length in enumerate(packed[places.lengths : at]):
            course = packed[at : at + length]
            at += length
            if course in records or course in refused:
                continue
            fragment = fragments.get(course) or self._fragment(course)
            if not fragment.is_retired:
                allowed.append((place, fragment))
                if len(allowed) == limit:
                    break
        return allowed

    def _chosen(self, own: Own, limit: int) -> list[tuple[int, _Fragment]]:
        """Return what to show, with places for new courses; none if the list is too short."""
        chosen, packed, places = self._allowed(own, limit), own.packed, own.places
        if len(chosen) < limit:
            return []
        if packed.find(_NEW, places.sources, places.lengths) < 0:
            return chosen
        draw = draw_of_packed(own.user_id, packed[VERSION_AT : VERSION_AT + VERSION_BYTES])
        given = places_to_explore(limit, draw)
        if given < 1:
            return chosen
        last = chosen[-given:]
        return [*chosen[:-given], *give_away(last, self._new_from(own, last[0][0]), draw)]

    def _new_from(self, own: Own, first: int) -> list[tuple[int, _Fragment]]:
        """Return the new courses from a place on that may be shown."""
        packed, places = own.packed, own.places
        found, begun, before = [], places.ids, places.lengths
        at = places.sources + first - 1
        while (at := packed.find(_NEW, at + 1, places.lengths)) >= 0:
            place = at - places.sources
            begun += sum(packed[before : places.lengths + place])
            before = places.lengths + place
            course = packed[begun : begun + packed[before]]
            fragment = self._fragments.get(course) or self._fragment(course)
            if not (course in own.records or course in own.refused or fragment.is_retired):
                found.append((place, fragment))
        return found

    def _written(self, own: Own, chosen: list[tuple[int, _Fragment]]) -> bytes:
        """Return the items, with a comma between them."""
        packed, places, scores = own.packed, own.places, self._scores
        scores_at, sources_at, causes_at = places.scores, places.sources, places.cause_of
        ends: dict[int, bytes] = {}
        parts: list[bytes] = []
        for place, fragment in chosen:
            at = scores_at + 2 * place
            half = packed[at : at + 2]
            score = scores.get(half) or self._score(half, score_of(packed, places, place))
            source, number = packed[sources_at + place], packed[causes_at + place]
            end = ends.get(number)
            if end is None:
                end = ends[number] = self._end_of_caused(own, number)
            if end:
                parts += (fragment.item, score, _CAUSED[source], end)
            elif source == _POPULAR_SOURCE and components_of(packed, places, place)[_POPULAR] <= 0:
                parts += (fragment.item, score, _UNTAKEN)
            else:
                parts += (fragment.item, score, _ALONE[source])
        return b"".join(parts)[1:]

    def _end_of_caused(self, own: Own, number: int) -> bytes:
        """Return how an item ends that has the cause of this number; empty if there is none, or none any more."""
        if number >= len(own.places.causes):  # as `NO_CAUSE`
            return b""
        course = own.places.causes[number]
        event = event_of(own.records.get(course))
        if not event:
            return b""
        fragment = self._fragments.get(course) or self._fragment(course)
        return b"%b%b%b" % (fragment.cause, event, _END_OF_CAUSED)

    def _score(self, half: bytes, score: float) -> bytes:
        written = self._scores[half] = _json(round(score, 6))
        return written
