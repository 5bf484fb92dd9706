"""Bootstrap intervals of means over tests: learners are drawn, each with all of his tests.

A learner's tests are alike; drawn one by one they would feign certainty.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trainer.metrics import Doubles
from trainer.verdict import Metrics

RESAMPLES: Final = 1_000
TWO_SIDED: Final = (0.025, 0.975)


def resampled_means(values: Doubles, owners: NDArray[np.int64], seed: int = 0) -> Doubles:
    """Return the means of C tests' values, (C, M), in each resample, (RESAMPLES, M); equal seeds, equal resamples.

    `owners`, (C,), numbers the learners from 0 without a gap; there is at least one.
    """
    counts = np.bincount(owners)  # (L,)
    size = len(counts)
    sums = np.stack([np.bincount(owners, column) for column in values.T], axis=1)  # (L, M)
    drawn = np.random.default_rng(seed).integers(size, size=(RESAMPLES, size))
    cells = drawn + np.arange(RESAMPLES)[:, None] * size
    times = np.bincount(cells.ravel(), minlength=RESAMPLES * size).reshape(RESAMPLES, size).astype(np.float64)
    means: Doubles = (times @ sums) / (times @ counts)[:, None]
    return means


def numbered(user_ids: list[str]) -> NDArray[np.int64]:
    """Return the learners as numbers from 0 without a gap.

    >>> numbered(["b", "a", "b"]).tolist()
    [1, 0, 1]
    """
    return np.unique(np.array(user_ids, dtype=np.str_), return_inverse=True)[1].astype(np.int64)


def intervals(values: Mapping[str, Doubles], owners: NDArray[np.int64], seed: int = 0) -> Metrics:
    """Return NAME_low and NAME_high of each metric, 95 %; nothing for fewer than two learners.

    >>> ten = np.arange(10)
    >>> intervals({"hr@10": np.repeat([0.0, 1.0], 5)}, ten)
    {'hr@10_low': 0.2, 'hr@10_high': 0.8}
    """
    if not len(owners) or owners.max() < 1:
        return {}
    bounds = np.quantile(resampled_means(np.stack(list(values.values()), axis=1), owners, seed), TWO_SIDED, axis=0)
    ends = zip(values, bounds.round(6).T.tolist(), strict=True)
    return {f"{name}_{end}": bound for name, both in ends for end, bound in zip(("low", "high"), both, strict=True)}
