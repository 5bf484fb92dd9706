"""Lists of courses that differ: maximal marginal relevance over sketches (Carbonell & Goldstein 1998).

Imported by the API: no NumPy, no FAISS, no SciPy.
"""

from collections.abc import Sequence
from math import cos, pi
from typing import Final

from schemas.candidates import Candidate

SKETCH_BITS: Final = 256

_COSINES: Final = tuple(max(cos(pi * apart / SKETCH_BITS), 0.0) for apart in range(SKETCH_BITS + 1))


def similarity(one: bytes, other: bytes) -> float:
    """Return the cosine, 0 to 1, of two courses' texts as their sketches (see `recommender/sketch.py`) estimate it.

    A course without a sketch is like no other.

    >>> similarity(bytes([255] * 32), bytes([255] * 32)), similarity(b"", b"")
    (1.0, 0.0)
    """
    if not (one and other):
        return 0.0
    return _COSINES[(int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).bit_count()]


def _relevance(candidates: Sequence[Candidate]) -> list[float]:
    """Return the scores of a list stretched to 0..1, never rising along it: what a strategy puts last stays last."""
    scores = [candidates[0].score]
    for candidate in candidates[1:]:
        scores.append(min(candidate.score, scores[-1]))
    width = scores[0] - scores[-1]
    return [(score - scores[-1]) / width if width > 0 else 1.0 for score in scores]


def diversify(
    candidates: Sequence[Candidate], sketches: Sequence[bytes], places: int, diversity: float
) -> list[Candidate]:
    """Return a list, best first, with its first places chosen one by one for relevance and for being unlike the others.

    Each place goes to the candidate of the greatest (1 - diversity) * relevance - diversity * similarity to the most
    similar one chosen before; relevance is the score, stretched to 0..1 over the list. The rest follows in its order.

    Parameters
    ----------
    sketches : one a candidate, empty where there is none
    diversity : 0 (the order stays) to 1 (relevance counts for nothing but the first place and ties)
    """
    if not candidates:
        return []
    worth = [(1.0 - diversity) * relevance for relevance in _relevance(candidates)]
    numbers = [int.from_bytes(sketch, "big") for sketch in sketches]
    penalties = [diversity * cosine for cosine in _COSINES]
    marginal, left, chosen = list(worth), list(range(len(candidates))), []
    sketched = [i for i in left if sketches[i]]
    for _ in range(min(places, len(candidates))):
        best = max(left, key=marginal.__getitem__)
        left.remove(best)
        chosen.append(best)
        if sketches[best]:
            sketched.remove(best)
            like = numbers[best]
            for i in sketched:
                value = worth[i] - penalties[(numbers[i] ^ like).bit_count()]
                if value < marginal[i]:
                    marginal[i] = value
    return [candidates[i] for i in (*chosen, *left)]
