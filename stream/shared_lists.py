"""Shared lists: popular, trending, latest, each by facet too; similar courses; what a card shows.

Every worker sums the counts of all shards for its own ranking; the owner of shard 0 writes the shared keys.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from redis.exceptions import ResponseError

from adapters.follow import Catalogue, ControlLog
from adapters.redis import Client, patiently
from recommender.grades import pack_grades
from recommender.recommend import Recommender
from recommender.shared import cold, newest, popular, similar, trending
from recommender.sketch import sketches_of
from schemas.candidates import Candidate, CandidateList, Version, pack_candidates
from schemas.cards import card_of, pack_card
from schemas.courses import Course
from schemas.keys import (
    SHARED_CARDS,
    SHARED_COLD,
    SHARED_GRADES,
    SHARED_LATEST,
    SHARED_META,
    SHARED_POPULAR,
    SHARED_SIMILAR,
    SHARED_TRENDING,
    ShardKeys,
)
from schemas.meta import Status
from stream.serving import Serving, ServingRoom
from stream.view import GUARDED

logger: Final = logging.getLogger(__name__)

SIMILAR: Final = 20
LISTED: Final = 100
HOLD_S: Final = 120.0
"""A shard that is longer in being rebuilt no longer keeps popularity as it was."""
_CHUNK: Final = 500
_INCOMING_S: Final = 60
_LOOK_S: Final = 0.5

Counts = dict[str, dict[int, int]]


def decode_counts(shards: Sequence[Mapping[bytes, bytes]]) -> Counts:
    """Return current enrolments by course and day, summed over shards.

    >>> decode_counts([{b"c1" + (3).to_bytes(4, "big"): b"2"}, {b"c1" + (3).to_bytes(4, "big"): b"1"}])
    {'c1': {3: 3}}
    """
    counts: Counts = {}
    for shard in shards:
        for name, number in shard.items():
            days = counts.setdefault(name[:-4].decode(), {})
            day = int.from_bytes(name[-4:], "big")
            days[day] = days.get(day, 0) + int(number)
    return counts


class Counted(NamedTuple):
    """What the shards of a generation had applied, -2 without a state: while it stays, so do the counts."""

    generation: int
    applied: tuple[int, ...]

    def went_back(self, earlier: "Counted | None") -> bool:
        """Whether a shard has applied less than earlier, as after a backup was restored."""
        if earlier is None or earlier.generation != self.generation:
            return False
        return any(now < before for now, before in zip(self.applied, earlier.applied, strict=True))

    def __str__(self) -> str:
        return " ".join(map(str, (self.generation, *self.applied)))


async def read_applied(client: Client, generation: int, partitions: int) -> tuple[Counted, bool]:
    """Return what every shard has applied, and whether all are live."""
    keys = [ShardKeys(shard, generation).meta for shard in range(partitions)]
    metas: list[Any] = await patiently(
        lambda: asyncio.gather(*(client.hmget(key, "applied", "status") for key in keys))
    )
    counted = Counted(generation, tuple(int(one) if one else -2 for one, _ in metas))
    return counted, all(status == Status.LIVE.encode() for _, status in metas)


async def read_counts(client: Client, generation: int, partitions: int) -> Counts:
    """Return current enrolments by course and day of all shards."""
    keys = [ShardKeys(shard, generation).counts for shard in range(partitions)]
    shards: list[Any] = await patiently(lambda: asyncio.gather(*(client.hgetall(key) for key in keys)))
    return decode_counts(shards)


def _pack(candidates: tuple[Candidate, ...], epochs: tuple[int, int]) -> bytes:
    return pack_candidates(CandidateList(Version(*epochs, -1, -1), time.time_ns() // 1_000, (), candidates))


def _similar(recommender: Recommender, catalogue: Mapping[str, Course], epochs: tuple[int, int]) -> dict[str, bytes]:
    course_ids = list(catalogue)
    packed = {}
    for i in range(0, len(course_ids), _CHUNK):
        for course_id, found in similar(recommender, course_ids[i : i + _CHUNK], SIMILAR).items():
            packed[course_id] = _pack(found, epochs)
    return packed


def _chunks(fields: Mapping[str, bytes]) -> Iterator[dict[Any, Any]]:
    items = list(fields.items())
    for i in range(0, len(items), _CHUNK):
        yield dict(items[i : i + _CHUNK])


async def replace_hash(client: Client, key: str, fields: Mapping[str, bytes]) -> None:
    """Replace a hash as a whole: readers see the old one or the new one."""
    if not fields:
        await client.delete(key)
        return
    incoming = f"{key}:{secrets.token_hex(8)}"  # another writer may be at it while shard 0 changes hands
    for chunk in _chunks(fields):
        await client.hset(incoming, mapping=chunk)
        await client.expire(incoming, _INCOMING_S)
    await client.persist(incoming)
    try:
        await client.rename(incoming, key)
    except ResponseError as error:
        if "no such key" not in str(error):
            raise
        logger.warning("%s was not replaced: Redis was emptied meanwhile", key)


def _lists(serving: Serving) -> dict[str, dict[str, bytes]]:
    recommender = serving.recommender
    found = {
        SHARED_POPULAR: popular(recommender, LISTED),
        SHARED_TRENDING: trending(recommender, LISTED),
        SHARED_LATEST: newest(recommender, LISTED),
        SHARED_COLD: cold(recommender, LISTED),
    }
    return {
        key: {facet: _pack(listed, serving.epochs) for facet, listed in facets.items() if listed}
        for key, facets in found.items()
    }


async def _write_lists(client: Client, serving: Serving) -> None:
    for key, packed in (await asyncio.to_thread(_lists, serving)).items():
        await replace_hash(client, key, packed)


async def _write_similar(client: Client, serving: Serving, catalogue: Mapping[str, Course]) -> None:
    similar = await asyncio.to_thread(_similar, serving.recommender, catalogue, serving.epochs)
    await replace_hash(client, SHARED_SIMILAR, similar)


async def _write_cards(client: Client, serving: Serving, catalogue: Mapping[str, Course]) -> None:
    sketches = await asyncio.to_thread(sketches_of, serving.recommender.universe)
    cards = {
        course_id: pack_card(card_of(course, sketches.get(course_id, b""))) for course_id, course in catalogue.items()
    }
    await replace_hash(client, SHARED_CARDS, cards)


async def _write_grades(client: Client, serving: Serving) -> None:
    model, fields = serving.recommender.universe.prepared.model, {}
    if model.grades is not None:
        fields = {"epoch": str(serving.model_epoch).encode(), "model": pack_grades(model.course_ids, model.grades)}
    await replace_hash(client, SHARED_GRADES, fields)


async def write_shared(client: Client, serving: Serving, catalogue: Mapping[str, Course], counted: str) -> None:
    """Write the shared keys that are not made from this serving and these counts yet.

    `counted` names the counts (what every shard had applied); `SHARED_META` remembers what stands. It is written behind
    what it names, and only if it still has the nonce that was set first: else Redis was emptied meanwhile, or another
    worker writes. Readers of an emptied Redis wait for cards and lists, so they come first; similar courses take long.
    """
    nonce = secrets.token_hex(16)
    await client.hset(SHARED_META, "nonce", nonce)
    model_epoch, catalogue_epoch = serving.epochs
    meta: dict[bytes, bytes] = await client.hgetall(SHARED_META)  # type: ignore[assignment]  # not decoded
    stood = {name.decode(): value.decode() for name, value in meta.items()}
    made_from = {"model_epoch": str(model_epoch), "catalogue_epoch": str(catalogue_epoch)}
    same_epochs = all(stood.get(name) == value for name, value in made_from.items())
    if not same_epochs:
        await _write_cards(client, serving, catalogue)
        await _write_grades(client, serving)
    if not same_epochs or stood.get("counted") != counted:
        await _write_lists(client, serving)
        await _remember(client, nonce, {**made_from, "counted": counted})
    if stood.get("similar") != (epochs := f"{model_epoch} {catalogue_epoch}"):
        await _write_similar(client, serving, catalogue)
        await _remember(client, nonce, {"similar": epochs})


async def _remember(client: Client, nonce: str, fields: Mapping[str, str]) -> None:
    await GUARDED.run(client, [SHARED_META], [nonce, *(part for pair in fields.items() for part in pair)])


class SharedLists:
    """Keeps this worker's popularity up, and the shared keys if it owns shard 0."""

    def __init__(self, client: Client, control: ControlLog, catalogue: Catalogue, room: ServingRoom) -> None:
        self._client = client
        self._control = control
        self._catalogue = catalogue
        self._room = room
        self._counted: Counted | None = None
        self._whole_at = float("-inf")

    async def update(self, is_writer: bool) -> None:
        """Sum the counts if any shard has moved, and write what is no longer true.

        While a shard is rebuilt, or an older backup brought up to date, its counts are not whole: for `HOLD_S` what was
        known before is nearer to the truth.
        """
        state = self._control.state
        counted, live = await read_applied(self._client, state.generation, state.partitions)
        now, whole = time.monotonic(), live and not counted.went_back(self._counted)
        self._whole_at = now if whole else self._whole_at
        if counted != self._counted and (whole or now - self._whole_at > HOLD_S):
            self._room.take_counts(await read_counts(self._client, state.generation, state.partitions))
            self._counted = counted
        serving = self._room.current
        if is_writer and serving:
            courses, counts = dict(self._catalogue.courses), str(self._counted or "")
            await patiently(lambda: write_shared(self._client, serving, courses, counts))

    async def pause(self, interval_s: float) -> None:
        """Wait until it is time for the next update: now, if the shared keys are gone."""
        end_s = time.monotonic() + interval_s
        while (left_s := end_s - time.monotonic()) > 0:
            await asyncio.sleep(min(left_s, _LOOK_S))
            if not await patiently(lambda: self._client.exists(SHARED_META)):
                return
