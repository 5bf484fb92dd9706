"""A packed candidate list: about 100 courses with component scores and causing courses.

    header     u8 layout, u64 model epoch + 1, u64 catalogue epoch + 1, u64 learner-events offset + 1,
               u64 activity offset + 1, u64 generated_at (us), u8 number of causes, u8 number of candidates: 43 bytes
    range      per component: f32 lowest, f32 highest: 40 bytes
    causes     each: u8 length, course id
    scores     f16 a candidate, descending
    components u8 a candidate and component, linear between lowest and highest; candidate-major
    cause      u8 a candidate: index of its cause, 255 = none
    source     u8 a candidate: `Source`
    ids        u8 length a candidate, then the ids one after the other

About 1.6 kB for 100 candidates with 5-byte ids, and 6 bytes a cause. Big-endian; the four version parts lie at fixed
places because `stream/publish.lua` compares them (a list replaces another only if no part is lower).
"""

import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import Final, Literal, NamedTuple, get_args

LAYOUT: Final = 1
MAX_CANDIDATES: Final = 250
NO_CAUSE: Final = 255
COMPONENTS: Final = ("collaborative", "item_item", "content", "popular", "trending")
"""Component scores of a candidate, in packed order."""

Strategy = Literal["hybrid", "collaborative", "content", "popular", "trending"]
STRATEGIES: Final[tuple[str, ...]] = get_args(Strategy)
"""What a list may be sorted by when it is read."""

_HEADER: Final = struct.Struct(">BQQQQQBB")
_SCORE: Final = struct.Struct(">e")
_RANGE: Final = struct.Struct(">" + "ff" * len(COMPONENTS))


class Source(IntEnum):
    """Why a course stands in a list: the component that speaks most for it."""

    COLLABORATIVE = 0
    CONTENT = 1
    POPULAR = 2
    TRENDING = 3
    NEW = 4
    INTERESTS = 5


class Version(NamedTuple):
    """What a list was made from. Offsets are -1 where there is none."""

    model_epoch: int
    catalogue_epoch: int
    learner_offset: int
    activity_offset: int


class Candidate(NamedTuple):
    """A course in a list. `components` follow `COMPONENTS`; `cause` is an index into the list's causes, or None."""

    course_id: str
    score: float
    components: tuple[float, ...]
    source: Source
    cause: int | None


class CandidateList(NamedTuple):
    """A learner's candidates, best first; `causes` are the courses of the history that some were recommended for."""

    version: Version
    generated_us: int
    causes: tuple[str, ...]
    candidates: tuple[Candidate, ...]


_VERSION: Final = struct.Struct(">QQQQ")
VERSION_AT: Final = 1
"""Where a packed list holds its version, `VERSION_BYTES` long."""
VERSION_BYTES: Final = 32


def pack_version(version: Version) -> bytes:
    """Return the 32 bytes of a version, as they stand in a packed list."""
    return _VERSION.pack(*(part + 1 for part in version))


def _quantise(values: Sequence[float], low: float, high: float) -> list[int]:
    width = high - low
    return [round((value - low) / width * 255) if width > 0 else 0 for value in values]


def pack_head(
    version: Version, generated_us: int, causes: Sequence[str], num_candidates: int, bounds: Sequence[float]
) -> bytes:
    """Return what a packed list begins with: header, ranges (lowest and highest by component) and causes."""
    numbers = (generated_us, len(causes), num_candidates)
    parts = [_HEADER.pack(LAYOUT, *(part + 1 for part in version), *numbers), _RANGE.pack(*bounds)]
    for cause in causes:
        course_id = cause.encode()
        parts += [bytes([len(course_id)]), course_id]
    return b"".join(parts)


def pack_candidates(source: CandidateList) -> bytes:
    """Return the packed list. Scores lose precision: f16 for the score, 1/255 of its range for a component.

    >>> row = Candidate("c1", 0.5, (1.0, 0.0, 0.0, 0.25, 0.0), Source.CONTENT, 0)
    >>> packed = pack_candidates(CandidateList(Version(7, 3, 40, -1), 9, ("c0",), (row,)))
    >>> unpack_candidates(packed).candidates[0] == row, unpack_version(packed).learner_offset, len(packed)
    (True, 40, 98)
    """
    rows = source.candidates
    if len(rows) > MAX_CANDIDATES or len(source.causes) >= NO_CAUSE:
        raise ValueError(f"a list holds at most {MAX_CANDIDATES} candidates and {NO_CAUSE - 1} causes")
    columns = list(zip(*(row.components for row in rows), strict=True)) or [(0.0,)] * len(COMPONENTS)
    ranges = [(min(column), max(column)) for column in columns]
    quantised = [_quantise(column, *pair) for column, pair in zip(columns, ranges, strict=True)]
    ids = [row.course_id.encode() for row in rows]
    bounds = [bound for pair in ranges for bound in pair]
    parts = [pack_head(source.version, source.generated_us, source.causes, len(rows), bounds)]
    parts.append(struct.pack(f">{len(rows)}e", *(row.score for row in rows)))
    if rows:
        parts.append(bytes(value for row in zip(*quantised, strict=True) for value in row))
    parts.append(bytes(NO_CAUSE if row.cause is None else row.cause for row in rows))
    parts.append(bytes(row.source for row in rows))
    parts.append(bytes(len(course_id) for course_id in ids))
    return b"".join(parts + ids)


def unpack_version(packed: bytes) -> Version:
    """Return what a packed list was made from."""
    _, *parts = _HEADER.unpack_from(packed)[:5]
    return Version(*(part - 1 for part in parts))


class Places(NamedTuple):
    """A packed list's head, and where its other parts begin."""

    version: Version
    generated_us: int
    causes: tuple[bytes, ...]
    size: int
    scores: int
    levels: int
    cause_of: int
    sources: int
    lengths: int
    ids: int


def places_of(packed: bytes) -> Places:
    """Return the head of a packed list, and where its parts begin; ValueError for another layout."""
    layout, *version, generated_us, num_causes, count = _HEADER.unpack_from(packed)
    if layout != LAYOUT:
        raise ValueError(f"candidate list of layout {layout}, expected {LAYOUT}")
    causes, at = [], _HEADER.size + _RANGE.size
    for _ in range(num_causes):
        end = at + 1 + packed[at]
        causes.append(packed[at + 1 : end])
        at = end
    levels = at + 2 * count
    cause_of = levels + len(COMPONENTS) * count
    rest = (at, levels, cause_of, cause_of + count, cause_of + 2 * count, cause_of + 3 * count)
    return Places(Version(*(part - 1 for part in version)), generated_us, tuple(causes), count, *rest)


def score_of(packed: bytes, places: Places, place: int) -> float:
    """Return the score of the candidate at a place."""
    score: float = _SCORE.unpack_from(packed, places.scores + 2 * place)[0]
    return score


def components_of(packed: bytes, places: Places, place: int) -> tuple[float, ...]:
    """Return the component scores of the candidate at a place."""
    bounds, width = _RANGE.unpack_from(packed, _HEADER.size), len(COMPONENTS)
    levels = packed[places.levels + place * width : places.levels + (place + 1) * width]
    pairs = zip(bounds[::2], bounds[1::2], levels, strict=True)
    return tuple(low + (high - low) / 255 * level for low, high, level in pairs)


def unpack_candidates(packed: bytes) -> CandidateList:
    """Return the list that `pack_candidates` packed."""
    places = places_of(packed)
    bounds, count, width = _RANGE.unpack_from(packed, _HEADER.size), places.size, len(COMPONENTS)
    steps = [(bounds[i], (bounds[i + 1] - bounds[i]) / 255) for i in range(0, len(bounds), 2)]
    scores = struct.unpack_from(f">{count}e", packed, places.scores)
    components = packed[places.levels : places.cause_of]
    cause_of = packed[places.cause_of : places.sources]
    source_of = packed[places.sources : places.lengths]
    lengths, at = packed[places.lengths : places.ids], places.ids
    rows = []
    for i in range(count):
        end = at + lengths[i]
        levels = components[i * width : (i + 1) * width]
        values = tuple(low + step * level for (low, step), level in zip(steps, levels, strict=True))
        cause = None if cause_of[i] == NO_CAUSE else cause_of[i]
        rows.append(Candidate(packed[at:end].decode(), scores[i], values, Source(source_of[i]), cause))
        at = end
    causes = tuple(cause.decode() for cause in places.causes)
    return CandidateList(places.version, places.generated_us, causes, tuple(rows))
