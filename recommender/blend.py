"""The blend: weights of the five component scores by length of history."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.candidates import COMPONENTS
from schemas.errors import BundleError

POPULAR: Final = COMPONENTS.index("popular")


@dataclass(frozen=True, eq=False)
class Blend:
    """Weights by length of history: bucket b is for histories of at least `lengths[b]` courses of positive weight.

    Of each component the mean over a learner's candidates is taken away, then it is divided by its standard deviation
    there, or by a scale for all learners: then what is sure of itself in one list counts more there. A course that
    nobody had taken when the model was made has 0 where a component cannot say anything of it.
    """

    lengths: tuple[int, ...]  # ascending, the first is 0
    weights: NDArray[np.float32]  # (buckets, 5), columns as `COMPONENTS`
    scales: NDArray[np.float32] | None = None  # (5,); None: a component's standard deviation in each list

    def __post_init__(self) -> None:
        if not self.lengths or self.lengths[0] != 0 or list(self.lengths) != sorted(set(self.lengths)):
            raise BundleError(f"blend: the lengths {self.lengths} do not rise from 0")
        if self.weights.shape != (len(self.lengths), len(COMPONENTS)):
            raise BundleError(f"blend: weights have shape {self.weights.shape}, not a row a length")
        if not np.isfinite(self.weights).all():
            raise BundleError("blend: a weight is NaN or infinite")
        if self.scales is not None:
            scales = self.scales
            if scales.shape != (len(COMPONENTS),) or not (np.isfinite(scales) & (scales > 0)).all():
                raise BundleError("blend: the scales are not a positive number a component")

    def rows(self, lengths: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the weights for histories of these lengths, (learners, 5).

        >>> DEFAULT_BLEND.rows(np.array([0, 40]))[:, 1].tolist()
        [0.0, 1.0]
        """
        bucket = np.searchsorted(np.array(self.lengths), lengths, side="right") - 1
        return self.weights[bucket]

    @property
    def popular_only(self) -> tuple[int, ...]:
        """Lengths at which buckets begin that go by popularity alone.

        >>> Blend((0, 1), np.array([[0, 0, 0, 1, 0], [1, 0, 0, 1, 0]], dtype=np.float32)).popular_only
        (0,)
        """
        alone = (self.weights[:, POPULAR] != 0) & (np.count_nonzero(self.weights, axis=1) == 1)
        return tuple(length for length, found in zip(self.lengths, alone.tolist(), strict=True) if found)


DEFAULT_BLEND: Final = Blend(
    lengths=(0, 1, 2, 6),
    weights=np.array(
        [
            [0.0, 0.0, 1.0, 0.5, 0.0],
            [0.5, 1.0, 0.75, 0.1, 0.25],
            [0.5, 1.0, 0.75, 0.0, 0.25],
            [0.5, 1.0, 0.6, 0.0, 0.1],
        ],
        dtype=np.float32,
    ),
)
"""What holds until a trainer has fitted weights on a validation window."""
