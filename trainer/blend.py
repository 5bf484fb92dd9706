"""The blend's weights by length of history, fitted on the validation part by conditional logistic regression."""

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp

from recommender.blend import DEFAULT_BLEND, Blend
from recommender.rank import Scored
from recommender.recommend import Recommender
from schemas.candidates import COMPONENTS
from trainer.cases import Block

PRIOR_CHOICES: Final = 20
"""The default weights count as much as so many choices: few choices move them little."""

_PENALTY: Final = 1e-3
_NEGLIGIBLE: Final = 0.02
"""A weight below this part of the largest becomes 0."""

Doubles = NDArray[np.float64]


class Choices(NamedTuple):
    """C cases, each the choice of one among at most M candidates."""

    z: Doubles  # (C, M, 5), standardised component scores
    present: NDArray[np.bool_]  # (C, M), whether the candidate exists
    chosen: NDArray[np.int64]  # (C,), the candidate that was chosen
    lengths: NDArray[np.int64]  # (C,), of the history

    def keep(self, mask: NDArray[np.bool_]) -> "Choices":
        """Return the cases of `mask`, (C,), alone."""
        return Choices(self.z[mask], self.present[mask], self.chosen[mask], self.lengths[mask])


def choices_of(recommender: Recommender, blocks: Iterable[Block]) -> Choices:
    """Return the choices of the cases whose course was among the learner's candidates."""
    parts: list[Doubles] = []
    chosen: list[int] = []
    lengths: list[int] = []
    for cases, popularity in blocks:
        scored = recommender.with_popularity(popularity).components([case.learner for case in cases])
        targets = [recommender.universe.index_of[case.course_id] for case in cases]
        for row, (pairs, place) in enumerate(_found(scored, targets)):
            if place >= 0:
                parts.append(scored.z[pairs].astype(np.float64))
                chosen.append(place)
                lengths.append(int(scored.lengths[row]))
    widest = max((len(part) for part in parts), default=0)
    z = np.zeros((len(parts), widest, len(COMPONENTS)))
    present = np.zeros((len(parts), widest), dtype=bool)
    for case, part in enumerate(parts):
        z[case, : len(part)] = part
        present[case, : len(part)] = True
    return Choices(z, present, np.array(chosen, dtype=np.int64), np.array(lengths, dtype=np.int64))


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


def fit_blend(choices: Choices, default: Blend = DEFAULT_BLEND) -> Blend:
    """Return the blend whose weights by length of history are the fitted ones, drawn to the default's."""
    bucket = np.searchsorted(np.array(default.lengths), choices.lengths, side="right") - 1
    rows = []
    for number, usual in enumerate(default.weights):
        own = choices.keep(bucket == number)
        count = len(own.chosen)
        fitted = fit_weights(own) if count else usual
        rows.append((count * fitted + PRIOR_CHOICES * usual) / (count + PRIOR_CHOICES))
    return Blend(default.lengths, np.array(rows, dtype=np.float32))
