"""How evenly learners and courses share what happens: sparsity, the long tail, ratings. Figures only."""

import math
from typing import Any, Final

import numpy as np
import pandas as pd

from reports.frames import Frames
from reports.quantiles import histogram, quantiles

TOPS: Final = (1, 5, 20)
"""Percent of the courses whose share of all enrolments is told."""

_MOST_VALUES: Final = 20
_POINTS: Final = 101


def sparsity(frames: Frames) -> dict[str, Any] | None:
    """Return how full the matrix of learners and courses is; None if nobody has taken any course."""
    taken = frames.taken()
    if taken.empty:
        return None
    learners, courses = taken["user_id"].nunique(), len(frames.course_ids())
    return {
        "counted": list(frames.kinds()),
        "pairs": len(taken),
        "learners": learners,
        "courses": courses,
        "density": len(taken) / (learners * courses),
        "sparsity": 1 - len(taken) / (learners * courses),
        "courses_per_learner": quantiles(taken["user_id"].value_counts()),
        "learners_per_course": quantiles(taken["course_id"].value_counts()),
        "learners_with_one_course": int((taken["user_id"].value_counts() == 1).sum()),
    }


def long_tail(frames: Frames) -> dict[str, Any] | None:
    """Return the share of enrolments that the most popular courses have; None if there are no enrolments.

    `curve`: the share of the most popular 0, 1, ..., 100 % of all courses; `gini`: 0 if all courses have the same, 1 if
    one has everything.
    """
    counts = np.sort(frames.taken()["course_id"].value_counts().to_numpy())[::-1]
    total = len(frames.course_ids())
    if not len(counts):
        return None
    shares = np.concatenate([[0.0], np.cumsum(np.pad(counts, (0, total - len(counts)))) / counts.sum()])  # (total + 1,)
    reached = np.interp(np.linspace(0, total, _POINTS), np.arange(total + 1), shares)
    return {
        "courses": total,
        "never_taken": total - len(counts),
        **{f"top_{top}_percent": round(float(shares[math.ceil(total * top / 100)]), 6) for top in TOPS},
        "gini": round(float(2 * shares[1:].mean() - 1 - 1 / total), 6),
        "curve": np.round(reached, 6).tolist(),
    }


def ratings(frames: Frames) -> list[dict[str, Any]]:
    """Return how often each rating and grade was given, by scale; many different values in steps."""
    scored = frames.events[frames.events["scale"].notna()]
    return [
        {"type": str(kind), "scale": str(scale), "mean": round(float(values.mean()), 4), **_counted(values)}
        for (kind, scale), group in scored.groupby(["type", "scale"], observed=True)
        for values in [group["value"].astype(float)]
    ]


def _counted(values: pd.Series) -> dict[str, Any]:
    """Return the values, or where steps of them begin, and how many there are of each."""
    counts = values.value_counts().sort_index()
    if len(counts) <= _MOST_VALUES:
        return {"from": counts.index.tolist(), "count": counts.tolist(), "in_steps": False}
    return {**histogram(values, float(values.max())), "in_steps": True}
