"""From learners as read to what is published of them. Pure, and run beside the event loop."""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from redis.exceptions import RedisError

from recommender.history import Learner, learner_of
from recommender.listing import Ranked
from schemas.candidates import Version, pack_version
from schemas.embedding import pack_embedding
from schemas.meta import HEADER_FIELD, Header, unpack_header
from stream.halves import PoisonError, each_by_halves
from stream.serving import Serving
from stream.view import ShardView, by_name


class Marked(NamedTuple):
    """A learner whose list is to be made anew, and the shard he is of."""

    view: ShardView
    user_id: str


class Loaded(NamedTuple):
    """A learner as read for a refresh: the header was read first, so the rest is at least as new."""

    user_id: str
    header: Header
    learner: Learner


class Computed(NamedTuple):
    """The learners of a batch whose lists are made, with what `publish.lua` takes for each, and who breaks the code."""

    made: list[tuple[Marked, list[bytes | str]]]
    broken: list[tuple[Marked, PoisonError]]


def learner_from(answers: Sequence[Any]) -> tuple[Header, Learner]:
    """Return header and learner from the hashes history, feedback, profile, activity, as `pairs_of` reads them.

    Raises RedisError if one could not be read.
    """
    for refused in (answer for answer in answers if isinstance(answer, RedisError)):
        raise refused
    history, feedback, profile, activity = (by_name(fields) for fields in answers)
    header = unpack_header(history.pop(HEADER_FIELD, None))
    return header, learner_of(history, feedback, {int(kind): cell for kind, cell in profile.items()}, activity)


def has_own_list(learner: Learner) -> bool:
    """Whether anything is known of a learner; for one without, a shared list stands and nothing is stored."""
    return bool(learner.entries or learner.signals or learner.queries or learner.profile != Learner().profile)


def _packed(loaded: Loaded, found: Ranked | None, epochs: tuple[int, int]) -> list[bytes | str]:
    """Return what `publish.lua` takes for one learner."""
    version = Version(*epochs, loaded.header.learner_offset, loaded.header.activity_offset)
    if found is None:
        return [loaded.user_id, pack_version(version), b"", b""]
    embedding = pack_embedding(version.model_epoch, found.embedding.tolist()) if found.embedding.size else b""
    return [loaded.user_id, pack_version(version), found.pack(version, time.time_ns() // 1_000), embedding]


def _listed(serving: Serving, read: Sequence[tuple[Marked, Sequence[Any]]], limit: int) -> list[list[bytes | str]]:
    """Return what `publish.lua` takes for each learner as read; long histories take their time here."""
    learners = [Loaded(marked.user_id, *learner_from(answers)) for marked, answers in read]
    models = [serving.of(one.user_id) for one in learners]
    found: dict[int, Ranked] = {}
    for recommender in {model.recommender for model in models}:
        own = [
            place
            for place, (one, model) in enumerate(zip(learners, models, strict=True))
            if model.recommender is recommender and has_own_list(one.learner)
        ]
        ranked = recommender.rank([learners[place].learner for place in own], limit)
        found.update(zip(own, ranked, strict=True))
    return [
        _packed(one, found.get(place), model.epochs)
        for place, (one, model) in enumerate(zip(learners, models, strict=True))
    ]


def compute(serving: Serving, learners: Sequence[Marked], answers: Sequence[Any], limit: int) -> Computed:
    """Return the lists of a batch of learners, of whom four hashes each were read; who breaks the code is left out."""
    read = [(marked, answers[4 * i : 4 * i + 4]) for i, marked in enumerate(learners)]
    made, broken = each_by_halves(read, lambda part: _listed(serving, part, limit))
    return Computed([(one, args) for (one, _), args in made], [(one, error) for (one, _), error in broken])
