"""The state that the bench of look-ups reads: learners with 30 courses and a list of 96, as the stream writes them."""

import random
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from redis import Redis

from adapters.kafka import shard_of
from schemas.candidates import Candidate, CandidateList, Source, Version, pack_candidates
from schemas.cards import Card, pack_card
from schemas.keys import (
    SHARED_CARDS,
    SHARED_COLD,
    SHARED_LATEST,
    SHARED_META,
    SHARED_POPULAR,
    SHARED_TRENDING,
    ShardKeys,
)
from schemas.meta import HEADER_FIELD, Header, Status, pack_header
from schemas.registers import Rank, pack_stamp

LEARNERS: Final = 100
COURSES: Final = 1_000
HISTORY: Final = 30
CANDIDATES: Final = 96
PARTITIONS: Final = 16
_CHUNK: Final = 200
_WORDS: Final = (
    "Applied",
    "Modern",
    "Practical",
    "Data",
    "Music",
    "Law",
    "Painting",
    "Python",
    "Statistics",
    "History",
)


def learners() -> list[str]:
    """Return the learners' ids."""
    return [f"learner-{number:05}" for number in range(LEARNERS)]


def fill(redis: Redis) -> None:
    """Write meta, shared lists, cards and learners, as if the log were empty and all of it merged."""
    draw = random.Random(1)
    cards = [Card(f"course-{i:04}", " ".join(draw.sample(_WORDS, 3)), language="en") for i in range(COURSES)]
    for shard in range(PARTITIONS):
        fields: dict[Any, Any] = {"generation": 0, "status": Status.LIVE, "nonce": "0" * 32, "applied": -1}
        redis.hset(ShardKeys(shard, 0).meta, mapping=fields)
    _write_shared(redis, cards)
    _in_chunks(redis, learners(), lambda pipeline, user_id: _write_learner(pipeline, user_id, cards, draw))


def _write_shared(redis: Redis, cards: Sequence[Card]) -> None:
    popular = tuple(
        Candidate(card.course_id, 1 - i / 200, (0.0, 0.0, 0.0, 1 - i / 200, 0.0), Source.POPULAR, None)
        for i, card in enumerate(cards[:100])
    )
    packed = pack_candidates(CandidateList(Version(-1, 0, -1, -1), time.time_ns() // 1_000, (), popular))
    for key in (SHARED_POPULAR, SHARED_TRENDING, SHARED_LATEST, SHARED_COLD):
        redis.hset(key, "", packed)
    redis.hset(SHARED_CARDS, mapping={card.course_id: pack_card(card) for card in cards})
    redis.hset(SHARED_META, mapping={"model_epoch": -1, "catalogue_epoch": 0, "similar": "0 0"})


def _in_chunks(redis: Redis, user_ids: Sequence[str], write: Callable[[Any, str], None]) -> None:
    for start in range(0, len(user_ids), _CHUNK):
        pipeline = redis.pipeline(transaction=False)
        for user_id in user_ids[start : start + _CHUNK]:
            write(pipeline, user_id)
        pipeline.execute()


def _write_learner(pipeline: Any, user_id: str, cards: Sequence[Card], draw: random.Random) -> None:
    """Write history and list; four of five courses of the list have a cause, a few are new."""
    drawn = [card.course_id for card in draw.sample(cards, HISTORY + CANDIDATES)]
    taken, listed = drawn[:HISTORY], drawn[HISTORY:]
    keys, moment_us = ShardKeys(shard_of(user_id, PARTITIONS), 0), time.time_ns() // 1_000
    records: dict[Any, Any] = {
        course_id: pack_stamp(
            moment_us - 86_400_000_000 * place, Rank.ENROLLED, str(uuid.UUID(int=draw.getrandbits(128)))
        )
        for place, course_id in enumerate(taken)
    }
    pipeline.hset(keys.history(user_id), mapping={HEADER_FIELD: pack_header(Header(0, -1)), **records})
    rows = [
        Candidate(
            course_id,
            8.0 - place / 16,
            tuple(draw.random() for _ in range(5)),
            Source.NEW if place >= CANDIDATES - 3 else Source(draw.randrange(3)),
            draw.randrange(12) if draw.random() < 0.8 and place < CANDIDATES - 3 else None,
        )
        for place, course_id in enumerate(listed)
    ]
    made = CandidateList(Version(-1, 0, 0, -1), moment_us, tuple(taken[:12]), tuple(rows))
    pipeline.set(keys.candidates(user_id), pack_candidates(made))


def fill_plain(redis: Redis, answers: dict[str, dict[str, Any]]) -> None:
    """Write what the plain reference reads, from our own answers: lists as JSON, what was taken as a set."""

    def write(pipeline: Any, user_id: str) -> None:
        answer, keys = answers[user_id], ShardKeys(shard_of(user_id, PARTITIONS), 0)
        pipeline.set(f"plain:list:{user_id}", msgspec.json.encode(answer))
        taken = [course for course in redis.hkeys(keys.history(user_id)) if course]
        pipeline.sadd(f"plain:taken:{user_id}", *taken)

    _in_chunks(redis, list(answers), write)
