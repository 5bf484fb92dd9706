"""Evaluation: what the learners enrolled in, looked up in the lists they would have been served just before.

The lists come from the very `Recommender` that the stream runs: what is measured is what is served. Ties are
pessimistic: a course that shares its score with others stands last among them.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.recommend import Recommendation, Recommender
from recommender.retrieve import eligible_of
from trainer.cases import Block, Case
from trainer.intervals import numbered
from trainer.metrics import NOT_LISTED, TOP, Ranks, gains_of, hits_of
from trainer.verdict import Metrics


class Ranking(NamedTuple):
    """How lists did on C cases: case by case, and as metrics. `owners`, (C,), numbers whose case it is."""

    ranks: Ranks
    owners: NDArray[np.int64]
    metrics: Metrics


class Evaluation(NamedTuple):
    """How the served lists did, and the popular list on the same cases."""

    hybrid: Ranking
    popular: Ranking


def metrics_of(ranks: Ranks, shown: set[str], num_courses: int) -> Metrics:
    """Return the metrics of 1-based ranks (0: not listed) and of the courses shown in the first `TOP` places.

    >>> metrics_of(np.array([1, 3, 11, 0]), {"a"}, 4)
    {'hr@10': 0.5, 'ndcg@10': 0.375, 'coverage@10': 0.25, 'tests': 4.0}
    """
    size = max(len(ranks), 1)
    return {
        f"hr@{TOP}": round(int(hits_of(ranks).sum()) / size, 6),
        f"ndcg@{TOP}": round(float(gains_of(ranks).sum()) / size, 6),
        f"coverage@{TOP}": round(len(shown) / max(num_courses, 1), 6),
        "tests": float(len(ranks)),
    }


def listed_rank(listed: Recommendation, course_id: str) -> int:
    """Return the rank of a course in a list, ties counted against it; `NOT_LISTED` if it is not there."""
    for candidate in listed.candidates:
        if candidate.course_id == course_id:
            return sum(other.score >= candidate.score for other in listed.candidates)
    return NOT_LISTED


def popular_ranks(recommender: Recommender, cases: Sequence[Case]) -> tuple[Ranks, set[str]]:
    """Return the ranks by popularity over all that is not taken, and the courses shown."""
    eligible = eligible_of([case.learner for case in cases], recommender.universe)  # (B, N)
    scores = np.where(eligible, recommender.popular, -1.0)
    targets = np.array([recommender.universe.index_of[case.course_id] for case in cases])
    own = scores[np.arange(len(cases)), targets]
    ranks = (scores >= own[:, None]).sum(axis=1)
    ranks[own <= 0.0] = NOT_LISTED
    best = np.argsort(-scores, axis=1, kind="stable")[:, :TOP]
    return ranks, {recommender.course_ids[course] for course in np.unique(best).tolist()}


def served(recommender: Recommender, blocks: Sequence[Block]) -> Ranking:
    """Return how the served lists do on all cases."""
    ranks: list[int] = []
    shown: set[str] = set()
    for cases, popularity in blocks:
        lists = recommender.with_popularity(popularity).recommend([case.learner for case in cases])
        ranks += [listed_rank(listed, case.course_id) for listed, case in zip(lists, cases, strict=True)]
        shown.update(candidate.course_id for listed in lists for candidate in listed.candidates[:TOP])
    return _ranking(np.array(ranks, dtype=np.int64), blocks, shown, recommender)


def popular(recommender: Recommender, blocks: Sequence[Block]) -> Ranking:
    """Return how the popular list does on all cases."""
    ranks: list[Ranks] = [np.empty(0, dtype=np.int64)]
    shown: set[str] = set()
    for cases, popularity in blocks:
        own, courses = popular_ranks(recommender.with_popularity(popularity), cases)
        ranks.append(own)
        shown |= courses
    return _ranking(np.concatenate(ranks), blocks, shown, recommender)


def _ranking(ranks: Ranks, blocks: Sequence[Block], shown: set[str], recommender: Recommender) -> Ranking:
    owners = numbered([case.user_id for block in blocks for case in block.cases])
    return Ranking(ranks, owners, metrics_of(ranks, shown, int(recommender.universe.active.sum())))


def evaluate(recommender: Recommender, blocks: Sequence[Block]) -> Evaluation:
    """Return how the served lists and the popular list do on all cases."""
    return Evaluation(served(recommender, blocks), popular(recommender, blocks))
