"""The temporal split: fitted on what came first, blended on what came next, tested on what came last."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainer.interactions import Interactions

TRAINED: Final = 0.8
VALIDATED: Final = 0.9


class Split(NamedTuple):
    """Moments, in us of `occurred_at`: validation begins at the first, the test at the second."""

    validation_us: int
    test_us: int


def split_by_time(interactions: Interactions) -> Split:
    """Return where 80 % and 90 % of the enrolments lie before; there is at least one enrolment."""
    moments = np.sort(interactions.occurred_us)
    return Split(int(moments[int(TRAINED * len(moments))]), int(moments[int(VALIDATED * len(moments))]))


def evenly(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return at most `most` of the rows, evenly spaced.

    >>> evenly(np.arange(10), 4).tolist()
    [0, 2, 5, 7]
    """
    if len(rows) <= most:
        return rows
    return rows[np.arange(most) * len(rows) // most]
