"""What speaks for each course before candidates are chosen: histories, vectors, item-item, content, interests."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recommender.content import matrix_of
from recommender.history import Entry, Learner
from recommender.model import Floats
from recommender.neighbours import Neighbours, decayed, lasting
from recommender.tower import Histories, Vectors, encode, learner_vectors, shares
from recommender.universe import Mask, Universe


@dataclass(frozen=True, eq=False)
class Evidence:
    """Of B learners over N courses. Content is an average cosine: over the history, own words counting as one entry."""

    recent: Histories  # decayed, what has faded left out
    entry_shares: Floats  # (E of recent, K), see `tower.shares`; 0 for courses that the model does not know
    vectors: Vectors | None
    item_item: Floats  # (B, N)
    content: Floats  # (B, N), by history and signals
    interest: Floats  # (B, N), by interests, goals and searches
    content_norms: Floats  # (B,), what the content of one entry is divided by
    lengths: NDArray[np.int64]  # (B,), known entries of positive weight
    silent: Mask  # (B,), nothing known of the learner: popular courses only


def gather(learners: Sequence[Learner], universe: Universe) -> Evidence:
    """Return the evidence of a batch of learners."""
    histories = encode(learners, universe.index_of)
    recent = decayed(histories, universe.prepared.decay)
    signals = encode([_signal_learner(learner) for learner in learners], universe.index_of)
    vectors, entry_shares = _tower(histories, universe)
    words = [_words(learner) for learner in learners]
    spoke = np.array([bool(text) for text in words], dtype=np.bool_)
    norms = _mass(recent) + _mass(signals) + spoke
    norms32: Floats = np.where(norms > 0, norms, 1.0).astype(np.float32)
    lengths = np.bincount(histories.owners[histories.weights > 0], minlength=len(learners))
    heard = np.bincount(histories.owners, minlength=len(learners)) + np.diff(signals.starts)
    return Evidence(
        recent=recent,
        entry_shares=entry_shares[lasting(histories, universe.prepared.decay)],
        vectors=vectors,
        item_item=_neighbourly(universe.item_item, recent, signals, len(universe)),
        content=_neighbourly(universe.content, recent, signals, len(universe)) / norms32[:, None],
        interest=_interest(words, universe) / norms32[:, None],
        content_norms=norms32,
        lengths=lengths,
        silent=(heard == 0) & ~spoke,
    )


def _signal_learner(learner: Learner) -> Learner:
    return Learner(entries=tuple(Entry(course_id, weight, 0, b"") for course_id, weight in learner.signals))


def _mass(histories: Histories) -> NDArray[np.float64]:
    return np.bincount(histories.owners, np.abs(histories.weights), len(histories)).astype(np.float64)


def _tower(histories: Histories, universe: Universe) -> tuple[Vectors | None, Floats]:
    """Return the learners' vectors, and the share of each entry in them, (E, K)."""
    prepared = universe.prepared.collaborative
    if prepared is None:
        return None, np.zeros((len(histories.courses), 0), dtype=np.float32)
    known = histories.courses < universe.num_known
    trained = histories.keep(known)
    parts = np.zeros((len(known), len(prepared.neumf.decays)), dtype=np.float32)
    parts[known] = shares(prepared.neumf.decays, trained)
    return learner_vectors(prepared.neumf, trained), parts


def _neighbourly(neighbours: Neighbours | None, recent: Histories, signals: Histories, size: int) -> Floats:
    if neighbours is None:
        return np.zeros((len(recent), size), dtype=np.float32)
    scores = neighbours.scores(recent)
    return scores + neighbours.scores(signals) if len(signals.courses) else scores


def _words(learner: Learner) -> str:
    profile = learner.profile
    own = (*profile.interests, *profile.goals, *learner.queries)
    return "\n".join((*own, profile.level) if own else ())


def _interest(words: Sequence[str], universe: Universe) -> Floats:
    result = np.zeros((len(words), len(universe)), dtype=np.float32)
    asked = [row for row, text in enumerate(words) if text]
    if asked:
        queries = universe.prepared.vectoriser.rows(words[row] for row in asked)
        result[asked] = (matrix_of(queries) @ universe.words).toarray()
    return result
