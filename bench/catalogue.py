"""How well texts tell what a course is about: its nearest courses by text, and how many of them share its label."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from recommender.content import nearest
from schemas.courses import Course
from trainer.text import text_model

NEAREST: Final = 10
LABELS: Final = ("category", "level")
LEAST_COURSES: Final = 100
"""A label that fewer courses have says little."""


def measure(courses: Sequence[Course]) -> dict[str, Any]:
    """Return how many courses have a text, and by label how many of the nearest share it, and of all others.

    Only courses that have the label take part; it is taken out of their texts first.
    """
    found = {}
    for label in LABELS:
        labelled = [course for course in courses if getattr(course, label)]
        if len(labelled) >= LEAST_COURSES and len({getattr(course, label) for course in labelled}) > 1:
            found[label] = _agreement(labelled, label)
    with_text = sum(bool(course.title or course.description) for course in courses)
    return {"courses": len(courses), "with_text": with_text, "labels": found}


def _agreement(courses: Sequence[Course], label: str) -> dict[str, float]:
    ids = tuple(course.course_id for course in courses)
    without = {course.course_id: replace(course, **{label: ""}) for course in courses}
    near = nearest(text_model(ids, without).rows, count=NEAREST)
    own = np.unique([getattr(course, label) for course in courses], return_inverse=True)[1]  # (N,)
    is_near = near.weights > 0  # (N, m)
    numbers = is_near.sum(axis=1)
    same = ((own[near.indices] == own[:, None]) & is_near).sum(axis=1)
    return {
        "courses": len(courses),
        "labels": len(np.unique(own)),
        "share": round(float((same / np.maximum(numbers, 1)).mean()), 6),
        "chance": round(_chance(own), 6),
        "without_neighbours": int((numbers == 0).sum()),
    }


def _chance(own: NDArray[np.int64]) -> float:
    """Return the share of other courses, drawn at random, that have the label of a course drawn at random.

    >>> _chance(np.array([7, 7, 8]))
    0.3333333333333333
    """
    counts = np.unique(own, return_counts=True)[1]
    return float((counts * (counts - 1)).sum() / (len(own) * (len(own) - 1)))
