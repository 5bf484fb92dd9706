"""What the catalogue says of its courses: prices, text, popularity as it was when it was gathered. Figures only."""

from typing import Any, Final

import numpy as np
import pandas as pd

from reports.frames import Frames
from reports.quantiles import histogram, quantiles

LATE_COUNTS: Final = ("num_subscribers", "num_reviews")
"""Counts as they were at the end: they know the future."""

DECADES: Final = ("0", "1+", "10+", "100+", "1,000+", "10,000+", "100,000+")
"""Orders of magnitude, each up to the next one."""

_LISTED: Final = 10
_GROUPS: Final = ("category", "level", "language")


def completeness(courses: pd.DataFrame) -> dict[str, float]:
    """Return the share of courses of which each field is known; fields that no course has are left out."""
    fields = courses.drop(columns=["course_id", "retired"])
    known = {str(name): float(column.map(_is_known).mean()) for name, column in fields.items()}
    return {name: round(share, 6) for name, share in known.items() if share > 0}


def _is_known(value: object) -> bool:
    return value is not None and value != "" and value != ()


def groups(courses: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Return the most frequent categories, levels and languages, and how many courses each has."""
    found = {name: courses.loc[courses[name] != "", name].value_counts().head(_LISTED) for name in _GROUPS}
    return {
        name: {str(word): int(count) for word, count in counts.items()} for name, counts in found.items() if len(counts)
    }


def prices(courses: pd.DataFrame) -> dict[str, Any] | None:
    """Return what courses cost, in the catalogue's currency; None if no price is known.

    `from`, `count`: a histogram of what is not free; its last step also holds the dearest hundredth.
    """
    known = courses["price"].dropna().astype(float)
    paid = known[known > 0]
    if known.empty:
        return None
    return {
        "known": len(known),
        "free": int((known == 0).sum()),
        "paid": quantiles(paid),
        **(histogram(paid, float(paid.quantile(0.99))) if len(paid) else {"from": [], "count": []}),
    }


def late_popularity(frames: Frames) -> dict[str, Any]:
    """Return subscribers and reviews by order of magnitude, and whether they go with the enrolments of the events.

    `rank_correlation`: Spearman's, with the number of learners who take a course; None where either does not vary.
    """
    courses = frames.courses.set_index("course_id")
    takers = frames.taken()["course_id"].value_counts().reindex(courses.index, fill_value=0)
    found = {}
    for name in LATE_COUNTS:
        counts = courses[name].dropna().astype("int64")
        if len(counts):
            found[name] = {
                **(quantiles(counts) or {}),
                "courses": len(counts),
                "by_magnitude": np.bincount(_magnitude(counts), minlength=len(DECADES)).tolist(),
                "rank_correlation": _rank_correlation(counts, takers[counts.index]),
                "most": _most(counts, courses["title"]),
            }
    return found


def _magnitude(counts: pd.Series) -> np.ndarray:
    """Return each count's place in `DECADES`."""
    edges = 10.0 ** np.arange(len(DECADES) - 1)
    return np.searchsorted(edges, counts.to_numpy(), side="right")


def _rank_correlation(one: pd.Series, other: pd.Series) -> float | None:
    if one.nunique() < 2 or other.nunique() < 2:
        return None
    return round(float(one.corr(other, method="spearman")), 4)


def _most(counts: pd.Series, titles: pd.Series) -> list[dict[str, object]]:
    most = counts.sort_values(ascending=False, kind="stable").head(_LISTED)
    return [
        {"course_id": course_id, "title": str(titles[course_id]), "count": int(most[course_id])}
        for course_id in map(str, most.index)
    ]


def text(courses: pd.DataFrame) -> dict[str, Any] | None:
    """Return how long titles and descriptions are, in characters, and who has none; None of no courses."""
    if courses.empty:
        return None
    lengths = {name: courses[name].str.len().astype("int64") for name in ("title", "description")}
    both = lengths["title"] + lengths["description"]
    silent = courses.loc[both == 0, "course_id"]
    return {
        **{f"{name}_characters": quantiles(length[length > 0]) for name, length in lengths.items()},
        **{f"without_{name}": int((length == 0).sum()) for name, length in lengths.items()},
        "without_text": len(silent),
        "without_text_ids": silent.head(_LISTED).tolist(),
        **histogram(both, float(both.quantile(0.95))),
    }
