"""What speaks for each course before candidates are chosen: histories, vectors, item-item, content, interests."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recommender.content import matrix_of
from recommender.history import Learner
from recommender.index import queries_of
from recommender.model import Floats
from recommender.neighbours import Neighbours, decayed
from recommender.scores import Named
from recommender.tower import Histories, Vectors, encode, encode_pairs, learner_vectors
from recommender.universe import Mask, Universe

CONTENT_DECAY: Final = 0.5
"""Decay of content per later course: the text of the newest courses tells most of what comes next."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """Of B learners over N courses. Content is an average cosine: over the history, own words counting as one entry."""

    histories: Histories
    recent: Histories  # decayed, what has faded left out
    vectors: Vectors | None
    shallow: Floats | None  # (B, num_known), the logit but for the MLP; None without a network or for a large catalogue
    item_item: Floats | Named  # (B, N)
    content: Floats | Named  # (B, N), by history and signals
    interest: Floats | Named | None  # (B, N), by interests, goals and searches; None if nobody has any
    aside: Floats  # (B,), what the content's mass holds beside the history: signals and own words
    content_norms: Floats  # (B,), what the content of one entry is divided by
    lengths: NDArray[np.int64]  # (B,), known entries of positive weight
    wishes: Mask  # (B,), interests, a search, a view or a click say what the learner looks for; a goal only hints at it
    silent: Mask  # (B,), nothing known of the learner: popularity alone speaks


def gather(learners: Sequence[Learner], universe: Universe) -> Evidence:
    """Return the evidence of a batch of learners."""
    histories = encode(learners, universe.index_of)
    recent = decayed(histories, universe.prepared.decay)
    signals = encode_pairs([learner.signals for learner in learners], universe.index_of)
    words = [_words(learner) for learner in learners]
    spoke = np.array([bool(text) for text in words], dtype=np.bool_)
    aside = _mass(signals) + spoke
    newest = decayed(histories, CONTENT_DECAY)
    norms = _mass(newest) + aside
    norms32: Floats = np.where(norms > 0, norms, 1.0).astype(np.float32)
    heard = np.diff(histories.starts) + np.diff(signals.starts)
    content = _per_norm(_neighbourly(universe.content, newest, signals, universe), norms32, universe)
    vectors = _vectors(histories, universe)
    return Evidence(
        histories=histories,
        recent=recent,
        vectors=vectors,
        shallow=_shallow(vectors, universe),
        item_item=_neighbourly(universe.item_item, recent, signals, universe),
        content=content,
        interest=_interest(words, norms32, universe),
        aside=aside.astype(np.float32),
        content_norms=norms32,
        lengths=np.bincount(histories.owners[histories.weights > 0], minlength=len(learners)),
        wishes=np.array([bool(one.profile.interests or one.queries or one.signals) for one in learners], np.bool_),
        silent=(heard == 0) & ~spoke,
    )


def _mass(histories: Histories) -> NDArray[np.float64]:
    return np.bincount(histories.owners, np.abs(histories.weights), len(histories)).astype(np.float64)


def _vectors(histories: Histories, universe: Universe) -> Vectors | None:
    prepared = universe.prepared.collaborative
    if prepared is None:
        return None
    known = histories.courses < universe.num_known
    return learner_vectors(prepared.neumf, histories if known.all() else histories.keep(known))


def _shallow(vectors: Vectors | None, universe: Universe) -> Floats | None:
    prepared = universe.prepared.collaborative
    if prepared is None or vectors is None or universe.is_large:
        return None
    return prepared.index.scores(queries_of(prepared.neumf, vectors.gmf))


def _neighbourly(
    neighbours: Neighbours | None, recent: Histories, signals: Histories, universe: Universe
) -> Floats | Named:
    if universe.is_large:
        own = [one.named(part) for one in (neighbours,) if one for part in (recent, signals)]
        return sum(own, Named.nothing())
    if neighbours is None:
        return np.zeros((len(recent), len(universe)), dtype=np.float32)
    scores = neighbours.scores(recent)
    if len(signals.courses):
        scores += neighbours.scores(signals)
    return scores


def _per_norm(scores: Floats | Named, norms: Floats, universe: Universe) -> Floats | Named:
    if isinstance(scores, Named):
        return Named(scores.cells, scores.values / norms[scores.cells // len(universe)])
    scores /= norms[:, None]
    return scores


def _words(learner: Learner) -> str:
    profile = learner.profile
    own = (*profile.interests, *profile.goals, *learner.queries)
    return "\n".join((*own, profile.level) if own else ())


def _interest(words: Sequence[str], norms: Floats, universe: Universe) -> Floats | Named | None:
    asked = [row for row, text in enumerate(words) if text]
    if not asked:
        return None
    queries = universe.prepared.vectoriser.rows(words[row] for row in asked)
    cosines = matrix_of(queries) @ universe.words
    if universe.is_large:
        found = cosines.tocoo()
        cells = np.array(asked, dtype=np.int64)[found.row] * len(universe) + found.col
        return _per_norm(Named.of(cells, found.data), norms, universe)
    result = np.zeros((len(words), len(universe)), dtype=np.float32)
    result[asked] = cosines.toarray() / norms[asked, None]
    return result
