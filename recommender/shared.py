"""Lists that are no learner's own: similar courses; popular, trending, latest and cold, overall and by facet."""

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recommender.model import Floats
from recommender.neighbours import Neighbours
from recommender.popularity import latest
from recommender.recommend import Recommender
from schemas.candidates import Candidate, Source
from schemas.courses import Course

FACETS: Final = ("language", "category", "level")
OVERALL: Final = ""
"""Facet of a list over the whole catalogue; the others read `language=en`."""

Lists = dict[str, tuple[Candidate, ...]]


def facets_of(course: Course) -> list[str]:
    """Return the facets a course belongs to.

    >>> facets_of(Course(course_id="c", language="en", level="beginner"))
    ['', 'language=en', 'level=beginner']
    """
    named = [f"{name}={value}" for name in FACETS if (value := getattr(course, name))]
    return [OVERALL, *named]


def popular(recommender: Recommender, limit: int = 100) -> Lists:
    """Return the most popular courses of all time by facet; courses nobody has taken come last, by index."""
    return _ranked(recommender, recommender.popular, Source.POPULAR, limit)


def trending(recommender: Recommender, limit: int = 100) -> Lists:
    """Return the most popular courses of the last 30 days by facet, filled with those of all time, as popular."""
    return _ranked(recommender, recommender.trending, Source.TRENDING, limit)


def cold(recommender: Recommender, limit: int = 100) -> Lists:
    """Return what a learner nobody knows gets, by facet: what is popular, as the blend weighs all time and lately."""
    return _ranked(recommender, recommender.cold, Source.POPULAR, limit)


def newest(recommender: Recommender, limit: int = 100) -> Lists:
    """Return the courses published last by facet; without a publishing date they are not in these lists."""
    universe = recommender.universe
    ids = latest(universe.catalogue)
    ordered = [universe.index_of[course_id] for course_id in ids]
    scores = np.zeros(len(universe), dtype=np.float32)
    scores[ordered] = np.linspace(1.0, 0.0, len(ordered), endpoint=False, dtype=np.float32)
    return _by_facet(recommender, ordered, scores, Source.NEW, limit)


def _ranked(recommender: Recommender, scores: Floats, source: Source, limit: int) -> Lists:
    order = np.lexsort((np.arange(len(scores)), -recommender.popular, -scores))
    return _by_facet(recommender, order.tolist(), scores, source, limit)


def _by_facet(recommender: Recommender, order: Sequence[int], scores: Floats, source: Source, limit: int) -> Lists:
    universe = recommender.universe
    lists: dict[str, list[Candidate]] = {OVERALL: []}
    for index in order:
        if not universe.active[index]:
            continue
        course_id = universe.course_ids[index]
        components = (0.0, 0.0, 0.0, float(recommender.popular[index]), float(recommender.trending[index]))
        idle = source == Source.TRENDING and scores[index] <= 0
        candidate = Candidate(course_id, float(scores[index]), components, Source.POPULAR if idle else source, None)
        for facet in facets_of(universe.catalogue.get(course_id) or Course(course_id=course_id)):
            members = lists.setdefault(facet, [])
            if len(members) < limit:
                members.append(candidate)
    return {facet: tuple(members) for facet, members in lists.items()}


def similar(recommender: Recommender, course_ids: Iterable[str], limit: int = 20) -> Lists:
    """Return the courses most like each of these: EASE and content, half and half; content alone for new courses.

    Courses that neither model nor catalogue know get an empty list.
    """
    return {course_id: _similar(recommender, course_id, limit) for course_id in course_ids}


def _similar(recommender: Recommender, course_id: str, limit: int) -> tuple[Candidate, ...]:
    universe = recommender.universe
    index = universe.index_of.get(course_id)
    if index is None:
        return ()
    sources = universe.item_item, universe.content
    named = np.unique(np.concatenate([one.indices[index] for one in sources if one]))  # (M,), ascending
    item_item, content = (_weights(one, index, named) for one in sources)
    halves = [np.maximum(part, 0) / max(float(part.max(initial=0)), 1e-6) for part in (item_item, content)]
    weights = (0.5, 0.5) if halves[0].any() else (0.0, 1.0)
    totals = weights[0] * halves[0] + weights[1] * halves[1]
    totals[(named == index) | ~universe.active[named]] = 0.0
    source_of = np.where(weights[0] * halves[0] > weights[1] * halves[1], Source.COLLABORATIVE, Source.CONTENT)
    parts = item_item, content, recommender.popular[named], recommender.trending[named]
    return tuple(
        Candidate(
            universe.course_ids[named[place]],
            float(totals[place]),
            (0.0, *(float(part[place]) for part in parts)),
            Source(int(source_of[place])),
            None,
        )
        for place in np.argsort(-totals, kind="stable")[:limit].tolist()
        if totals[place] > 0
    )


def _weights(neighbours: Neighbours | None, course: int, others: NDArray[np.int32]) -> Floats:
    """Return the weights of other courses, (M,), as neighbours of a course; 0 for one that is none."""
    found = np.zeros(len(others), dtype=np.float32)
    if neighbours is not None:
        found[np.searchsorted(others, neighbours.indices[course])] = neighbours.weights[course]
    return found
