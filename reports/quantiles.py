"""What many numbers are like: quantiles, and how many lie where."""

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from reports.page import Table

Answer = Mapping[str, Any]

_STEPS: Final = 25
_ROUNDING: Final = 1e-9
_QUANTILES: Final = ("min", "median", "mean", "p90", "p99", "max")


def quantiles(values: pd.Series) -> dict[str, float] | None:
    """Return what numbers are like; None of none.

    >>> quantiles(pd.Series([1, 2, 3, 10]))
    {'min': 1.0, 'median': 2.5, 'mean': 4.0, 'p90': 7.9, 'p99': 9.79, 'max': 10.0}
    """
    if values.empty:
        return None
    found = {"min": values.min(), "median": values.median(), "mean": values.mean()}
    found |= {"p90": values.quantile(0.9), "p99": values.quantile(0.99), "max": values.max()}
    return {name: round(float(value), 4) for name, value in found.items()}


def histogram(values: pd.Series, highest: float) -> dict[str, list[Any]]:
    """Return how many values lie in steps of a round width, by where a step begins; above `highest` is the last step.

    >>> histogram(pd.Series([0, 5, 7, 12, 99]), 10)["from"][:4]
    [0.0, 1.0, 2.0, 3.0]
    >>> histogram(pd.Series([2, 2, 2]), 2)
    {'from': [2.0], 'count': [3]}
    """
    least = (highest - float(values.min())) / _STEPS
    width = _round_width(max(least, 1.0) if pd.api.types.is_integer_dtype(values) else least)
    places = np.floor(values.clip(upper=highest).to_numpy(dtype=float) / width + _ROUNDING).astype(int)
    first, last = int(places.min()), int(places.max())
    starts = np.round(np.arange(first, last + 1) * width, 6)
    return {"from": starts.tolist(), "count": np.bincount(places - first, minlength=len(starts)).tolist()}


def _round_width(least: float) -> float:
    """Return the smallest of ..., 0.1, 0.2, 0.5, 1, 2, 5, 10, ... that is at least this; 1 of 0.

    >>> _round_width(3.1), _round_width(0.02), _round_width(0)
    (5.0, 0.02, 1.0)
    """
    if least <= 0:
        return 1.0
    decade = 10.0 ** math.floor(math.log10(least))
    return next(round(factor * decade, 9) for factor in (1, 2, 5, 10) if factor * decade >= least * (1 - _ROUNDING))


def quantile_table(title: str, rows: Mapping[str, Mapping[str, float] | None]) -> Table:
    """Return a table of quantiles; nine values in ten lie at or below p90, 99 in 100 at or below p99."""
    known = [(name, *(row[quantile] for quantile in _QUANTILES)) for name, row in rows.items() if row]
    note = "Nine in ten lie at or below p90, ninety-nine in a hundred at or below p99."
    return Table(title, ("", *_QUANTILES), known, note=note)
