"""Evaluation: what the learners enrolled in, looked up in the lists they would have been served just before.

The lists come from the very `Recommender` that the stream runs: what is measured is what is served. Ties are
pessimistic: a course that shares its score with others stands last among them.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.recommend import Recommendation, Recommender
from recommender.retrieve import eligible_of
from trainer.cases import Block, Case
from trainer.verdict import Metrics

TOP: Final = 10
NOT_LISTED: Final = 0


class Evaluation(NamedTuple):
    """Metrics of the served list, and of the popular list on the same cases."""

    hybrid: Metrics
    popular: Metrics


def metrics_of(ranks: NDArray[np.int64], shown: set[str], num_courses: int) -> Metrics:
    """Return the metrics of 1-based ranks (0: not listed) and of the courses shown in the first `TOP` places.

    >>> metrics_of(np.array([1, 3, 11, 0]), {"a"}, 4)
    {'hr@10': 0.5, 'ndcg@10': 0.375, 'coverage@10': 0.25, 'tests': 4.0}
    """
    hits = (ranks > NOT_LISTED) & (ranks <= TOP)
    gains = np.where(hits, 1.0 / np.log2(1.0 + np.maximum(ranks, 1)), 0.0)
    size = max(len(ranks), 1)
    return {
        f"hr@{TOP}": round(float(hits.sum()) / size, 6),
        f"ndcg@{TOP}": round(float(gains.sum()) / size, 6),
        f"coverage@{TOP}": round(len(shown) / max(num_courses, 1), 6),
        "tests": float(len(ranks)),
    }


def listed_rank(listed: Recommendation, course_id: str) -> int:
    """Return the rank of a course in a list, ties counted against it; `NOT_LISTED` if it is not there."""
    for candidate in listed.candidates:
        if candidate.course_id == course_id:
            return sum(other.score >= candidate.score for other in listed.candidates)
    return NOT_LISTED


def popular_ranks(recommender: Recommender, cases: Sequence[Case]) -> tuple[NDArray[np.int64], set[str]]:
    """Return the ranks by popularity over all that is not taken, and the courses shown."""
    eligible = eligible_of([case.learner for case in cases], recommender.universe)  # (B, N)
    scores = np.where(eligible, recommender.popular, -1.0)
    targets = np.array([recommender.universe.index_of[case.course_id] for case in cases])
    own = scores[np.arange(len(cases)), targets]
    ranks = (scores >= own[:, None]).sum(axis=1)
    ranks[own <= 0.0] = NOT_LISTED
    best = np.argsort(-scores, axis=1, kind="stable")[:, :TOP]
    return ranks, {recommender.course_ids[course] for course in np.unique(best).tolist()}


def evaluate(recommender: Recommender, blocks: Iterable[Block]) -> Evaluation:
    """Return the metrics of the served lists and of the popular list over all cases."""
    ranks: list[int] = []
    popular: list[NDArray[np.int64]] = [np.empty(0, dtype=np.int64)]
    shown: set[str] = set()
    shown_popular: set[str] = set()
    for cases, popularity in blocks:
        fresh = recommender.with_popularity(popularity)
        lists = fresh.recommend([case.learner for case in cases])
        ranks += [listed_rank(listed, case.course_id) for listed, case in zip(lists, cases, strict=True)]
        shown.update(candidate.course_id for listed in lists for candidate in listed.candidates[:TOP])
        own, courses = popular_ranks(fresh, cases)
        popular.append(own)
        shown_popular |= courses
    size = int(recommender.universe.active.sum())
    return Evaluation(
        metrics_of(np.array(ranks, dtype=np.int64), shown, size),
        metrics_of(np.concatenate(popular), shown_popular, size),
    )
