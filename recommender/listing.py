"""Ranked lists as arrays: unpacked one by one when someone looks, packed a batch at a time for Redis."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.history import Learner
from recommender.model import Floats
from recommender.rank import Indices
from recommender.universe import Universe
from schemas.candidates import NO_CAUSE, Candidate, Source, Version, pack_head

Bytes = NDArray[np.uint8]
_SOURCES: Final = tuple(Source)
_MOST: Final = 65_504.0
"""The largest number of 16 bits."""


@dataclass(frozen=True, eq=False)
class Lists:
    """The lists of B learners, one after the other, best first; P listed courses in all."""

    universe: Universe
    starts: list[int]  # (B + 1)
    courses: Indices  # (P,)
    scores: Floats  # (P,)
    components: Floats  # (P, 5)
    sources: Bytes  # (P,), `Source`
    causes: Bytes  # (P,), number of the cause among the learner's, `NO_CAUSE` for none

    @cached_property
    def course_ids(self) -> list[str]:
        """Ids of the listed courses."""
        ids = self.universe.course_ids
        return [ids[course] for course in self.courses.tolist()]

    @cached_property
    def ranges(self) -> Floats:
        """Lowest and highest of each component in each list, (B, 5, 2); 0 for an empty one."""
        found = np.zeros((len(self.starts) - 1, self.components.shape[1], 2), dtype=np.float32)
        filled = np.diff(self.starts) > 0
        if filled.any():
            starts = np.array(self.starts[:-1])[filled]
            found[filled, :, 0] = np.minimum.reduceat(self.components, starts, axis=0)
            found[filled, :, 1] = np.maximum.reduceat(self.components, starts, axis=0)
        return found

    @cached_property
    def levels(self) -> Bytes:
        """Components as 1/255 of their range, (P, 5)."""
        owners = np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))
        low, high = (self.ranges[:, :, end].astype(np.float64) for end in (0, 1))
        width = np.where(high > low, high - low, 1.0)
        return np.rint((self.components - low[owners]) / width[owners] * 255).astype(np.uint8)

    @cached_property
    def halves(self) -> NDArray[np.float16]:
        """Scores in 16 bits, big-endian, (P,)."""
        return np.clip(self.scores, -_MOST, _MOST).astype(">f2")


class Recommendation(NamedTuple):
    """A learner's list, best first, and the learner's embedding (GMF vector, (d,); (0,) in a bootstrap)."""

    causes: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    embedding: Floats


class Ranked(NamedTuple):
    """A learner's list as rows of `lists`."""

    lists: Lists
    row: int
    causes: tuple[str, ...]
    embedding: Floats

    @property
    def _part(self) -> slice:
        return slice(*self.lists.starts[self.row : self.row + 2])

    def unpacked(self) -> Recommendation:
        """Return the list with its courses one by one."""
        lists, part = self.lists, self._part
        rows = zip(
            lists.course_ids[part], lists.scores[part].tolist(), lists.components[part].tolist(),
            lists.sources[part].tolist(), lists.causes[part].tolist(), strict=True,
        )  # fmt: skip
        candidates = [
            Candidate(course_id, score, tuple(values), _SOURCES[source], None if cause == NO_CAUSE else cause)
            for course_id, score, values, source, cause in rows
        ]
        return Recommendation(self.causes, tuple(candidates), self.embedding)

    def pack(self, version: Version, generated_us: int) -> bytes:
        """Return the packed list, the bytes that `schemas.candidates.pack_candidates` gives."""
        lists, part = self.lists, self._part
        encoded, lengths = lists.universe.encoded_ids
        courses = lists.courses[part]
        ids = [encoded[course] for course in courses.tolist()]
        return b"".join((
            pack_head(version, generated_us, self.causes, len(courses), lists.ranges[self.row].ravel().tolist()),
            lists.halves[part].tobytes(), lists.levels[part].tobytes(), lists.causes[part].tobytes(),
            lists.sources[part].tobytes(), lengths[courses].tobytes(), *ids,
        ))  # fmt: skip


def number_causes(
    positions: NDArray[np.int32], starts: Sequence[int], learners: Sequence[Learner]
) -> tuple[Bytes, list[tuple[str, ...]]]:
    """Return each listed course's number among its learner's causes, and those causes, from places in the entries."""
    owners = np.repeat(np.arange(len(learners)), np.diff(starts))
    owners, places = owners[positions >= 0], positions[positions >= 0]
    causing = np.zeros((len(learners), int(places.max(initial=-1)) + 1), dtype=np.bool_)
    causing[owners, places] = True
    number_of = np.cumsum(causing, axis=1) - 1
    numbers = np.full(len(positions), NO_CAUSE, dtype=np.uint8)
    numbers[positions >= 0] = number_of[owners, places]
    named = [
        tuple(learner.entries[place].course_id for place in np.flatnonzero(own).tolist())
        for learner, own in zip(learners, causing, strict=True)
    ]
    return numbers, named
