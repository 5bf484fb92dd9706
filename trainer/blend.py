"""The blend's weights by length of history, fitted on the validation part by conditional logistic regression.

Where the fitted weights would rank worse there than popularity alone does, popularity alone has the weight.
"""

import logging
from collections.abc import Iterable
from operator import itemgetter
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp

from recommender.blend import DEFAULT_BLEND, POPULAR, Blend
from recommender.rank import Scored
from recommender.recommend import Recommender
from schemas.candidates import COMPONENTS
from trainer.cases import Block
from trainer.metrics import gains_of

logger: Final = logging.getLogger(__name__)

PRIOR_CHOICES: Final = 20
"""The default weights count as much as so many choices: few choices move them little."""

_PENALTY: Final = 1e-3
_NEGLIGIBLE: Final = 0.02
"""A weight below this part of the largest becomes 0."""

_OF_HISTORIES: Final = [COMPONENTS.index("collaborative"), COMPONENTS.index("item_item")]
"""Without a history these only say what was popular when they were fitted: popularity as it is now knows better."""

Doubles = NDArray[np.float64]


class Choices(NamedTuple):
    """C cases, each the choice of one among at most M candidates."""

    z: Doubles  # (C, M, 5), component scores, standardised in each list
    present: NDArray[np.bool_]  # (C, M), whether the candidate exists
    chosen: NDArray[np.int64]  # (C,), the candidate that was chosen
    lengths: NDArray[np.int64]  # (C,), of the history
    units: Doubles  # (C, 5), what 1 in `z` is in the units of the component; 0 where it says nothing

    def keep(self, mask: NDArray[np.bool_]) -> "Choices":
        """Return the cases of `mask`, (C,), alone."""
        return Choices(self.z[mask], self.present[mask], self.chosen[mask], self.lengths[mask], self.units[mask])


def choices_of(recommender: Recommender, blocks: Iterable[Block]) -> Choices:
    """Return the choices of the cases whose course was among the learner's candidates."""
    parts: list[Doubles] = []
    units: list[NDArray[np.float32]] = []
    chosen: list[int] = []
    lengths: list[int] = []
    for cases, popularity in blocks:
        scored = recommender.with_popularity(popularity).components([case.learner for case in cases])
        targets = [recommender.universe.index_of[case.course_id] for case in cases]
        spreads = np.divide(1.0, scored.inverse, out=np.zeros_like(scored.inverse), where=scored.inverse > 0)
        for row, (pairs, place) in enumerate(_found(scored, targets)):
            if place >= 0:
                parts.append(scored.z[pairs].astype(np.float64))
                units.append(spreads[row])
                chosen.append(place)
                lengths.append(int(scored.lengths[row]))
    widest = max((len(part) for part in parts), default=0)
    z = np.zeros((len(parts), widest, len(COMPONENTS)))
    present = np.zeros((len(parts), widest), dtype=bool)
    for case, part in enumerate(parts):
        z[case, : len(part)] = part
        present[case, : len(part)] = True
    table = np.array(units, dtype=np.float64).reshape(-1, len(COMPONENTS))
    return Choices(z, present, np.array(chosen, dtype=np.int64), np.array(lengths, dtype=np.int64), table)


def _found(scored: Scored, targets: list[int]) -> Iterable[tuple[slice, int]]:
    """Yield each learner's pairs and the place of the target among them, -1 if it is no candidate."""
    bounds = np.searchsorted(scored.rows, np.arange(len(targets) + 1)).tolist()
    for row, target in enumerate(targets):
        part = slice(bounds[row], bounds[row + 1])
        places = np.flatnonzero(scored.courses[part] == target)
        yield part, int(places[0]) if len(places) else -1


def fit_weights(choices: Choices) -> Doubles:
    """Return the weights, none below 0 and the largest 1, under which what was chosen is likeliest, (5,)."""
    cases = np.arange(len(choices.chosen))

    def loss(weights: Doubles) -> tuple[float, Doubles]:
        totals = np.where(choices.present, choices.z @ weights, -np.inf)  # (C, M)
        norm = logsumexp(totals, axis=1)
        likelihood = np.exp(totals - norm[:, None])
        expected = np.einsum("cm,cmk->ck", likelihood, choices.z)
        slope = (expected - choices.z[cases, choices.chosen]).mean(axis=0) + 2 * _PENALTY * weights
        value = (norm - totals[cases, choices.chosen]).mean() + _PENALTY * np.square(weights).sum()
        return float(value), slope

    start = np.full(len(COMPONENTS), 0.5)
    fitted = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0.0, None)] * len(start)).x
    scaled = (fitted / max(fitted.max(), 1e-9)).astype(np.float64)
    scaled[scaled < _NEGLIGIBLE] = 0.0
    weights: Doubles = np.round(scaled, 4)
    return weights


def in_one_scale(choices: Choices) -> tuple[Choices, NDArray[np.float32]]:
    """Return the choices with each component in its standard deviation over all lists, and these, (5,).

    >>> z, units = np.array([[[1.0], [-1.0]]] * 2), np.array([[1.0], [7.0]])
    >>> lists = Choices(z, np.ones((2, 2), np.bool_), np.zeros(2, int), np.ones(2, int), units)
    >>> rescaled, scales = in_one_scale(lists)
    >>> scales.tolist(), rescaled.z[:, 0].round(1).tolist()
    ([5.0], [[0.2], [1.4]])
    """
    deviations = choices.z * choices.units[:, None]
    spread = np.sqrt(np.square(deviations[choices.present]).mean(axis=0))
    scales = np.where(spread > 1e-6, spread, 1.0).astype(np.float32)
    return choices._replace(z=deviations / scales), scales


def fit_blend(choices: Choices, default: Blend = DEFAULT_BLEND) -> Blend:
    """Return the blend whose weights by length of history are the fitted ones, drawn to the default's.

    Of two, with components in the deviations of each list or in scales for all, the one that ranks better.
    """
    if not len(choices.chosen):
        return default
    own, shared = _fit(choices, None, default), _fit(*in_one_scale(choices), default)
    return max(own, shared, key=itemgetter(0))[1]


def _fit(choices: Choices, scales: NDArray[np.float32] | None, default: Blend) -> tuple[float, Blend]:
    """Return the NDCG of a blend with these scales, and the blend."""
    bucket = np.searchsorted(np.array(default.lengths), choices.lengths, side="right") - 1
    gain, rows = 0.0, default.weights.astype(np.float64)
    for number in np.unique(bucket).tolist():
        own = choices.keep(bucket == number)
        rows[number] = _row(own, default.lengths[number], rows[number])
        gain += len(own.chosen) * _gain(own, rows[number])
    return gain / len(choices.chosen), Blend(default.lengths, rows.astype(np.float32), scales)


def _row(choices: Choices, length: int, usual: Doubles) -> Doubles:
    """Return the weights of a bucket that begins at a length."""
    count = len(choices.chosen)
    if length == 0:
        choices.z[:, :, _OF_HISTORIES] = 0.0
    row: Doubles = (count * fit_weights(choices) + PRIOR_CHOICES * usual) / (count + PRIOR_CHOICES)
    popular: Doubles = np.eye(len(row))[POPULAR]
    if count < PRIOR_CHOICES or _gain(choices, row) >= _gain(choices, popular):
        return row
    logger.info("with %d courses or more the blend ranks worse than popularity: that alone has weight", length)
    return popular


def _gain(choices: Choices, weights: Doubles) -> float:
    """Return the NDCG of these weights among the candidates; ties count against what was chosen."""
    totals = np.where(choices.present, choices.z @ weights, -np.inf).astype(np.float32)  # (C, M)
    own = totals[np.arange(len(totals)), choices.chosen]
    return float(gains_of((totals >= own[:, None]).sum(axis=1)).mean())
