"""When a merge is refused, what a full or read-only server does to it, and that no locale changes it."""

import asyncio
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from redis.exceptions import RedisError

from adapters.redis import Client, connect, patiently
from recommender.fold import Fold
from schemas.events import Erased, Rated
from schemas.keys import CHANGED, ShardKeys
from schemas.meta import Status
from schemas.pending import Pending, pack_pending
from schemas.registers import Rank
from schemas.settings import Connections
from schemas.topics import LEARNER_EVENTS
from stream.merge import JOINED, Wanted, by_learners, join_run, merge_run
from stream.view import ShardView, open_shard, read_meta
from tests import reference
from tests.reference import Logged
from tests.servers import PROGRAMS, environment_of, program_of, running_redis
from tests.shard_state import (
    CONTROL,
    contents,
    enrolments,
    merge,
    read_counts,
    read_digest,
    read_learners,
    read_scores,
    read_stored,
    record_of,
    run_of,
)
from tests.strategies import LAST_US, LATE_MS, at

KEYS = ShardKeys(0, 0)
LOG = enrolments(12)


@pytest.fixture
async def view(client: Client) -> ShardView:
    """Open a shard that has applied offsets 0 to 4."""
    view, _ = await open_shard(client, KEYS, 0)
    await merge(client, view, LOG, 0, 4)
    return view


async def applied(client: Client) -> int:
    meta = await read_meta(client, KEYS)
    assert meta is not None
    return meta.applied


async def refusal(client: Client, view: ShardView, first: int, last: int) -> str:
    """Merge LOG from `first` to `last`; return the status, having seen that nothing was written."""
    before = await contents(client)
    answer = await merge_run(client, view, run_of(LOG, first, last), wanted=Wanted.FIRSTS)
    assert await contents(client) == before
    assert answer.first_enrolments == ()
    return answer.status


async def test_a_run_that_leaves_a_gap_is_refused(client: Client, view: ShardView) -> None:
    assert await refusal(client, view, 6, 8) == "GAP"
    assert await applied(client) == 4


async def test_a_replay_leaves_what_the_live_generation_has_yet_to_merge_noted(client: Client, view: ShardView) -> None:
    await client.hset(KEYS.pending("u2"), "c5", pack_pending(Pending(5, Rank.ENROLLED)))
    beside, _ = await open_shard(client, ShardKeys(0, 1), 0)
    assert (await merge_run(client, beside, run_of(LOG, 0, 8), wanted=Wanted.PENDING_LEFT)).status == "OK"
    assert await read_learners(client, ShardKeys(0, 1)) == reference.learners(LOG[:9])
    assert await client.exists(KEYS.pending("u2"))
    await merge(client, view, LOG, 5, 8)
    assert not await client.exists(KEYS.pending("u2"))


async def test_a_run_that_follows_is_merged(client: Client, view: ShardView) -> None:
    await merge(client, view, LOG, 5, 8)
    assert await applied(client) == 8
    assert await read_learners(client, KEYS) == reference.learners(LOG[:9])


async def test_a_run_that_overlaps_is_merged(client: Client, view: ShardView) -> None:
    await merge(client, view, LOG, 2, 8)
    assert await applied(client) == 8
    assert await read_learners(client, KEYS) == reference.learners(LOG[:9])
    assert await read_counts(client, KEYS) == reference.counts(LOG[:9])


async def test_an_early_part_of_a_run_that_overlaps_takes_applied_nowhere(client: Client, view: ShardView) -> None:
    *early, last = by_learners(run_of(LOG, 2, 8), 1)
    for part in early:
        assert (await merge_run(client, view, part)).status == "OK"
        assert await applied(client) == 4
    assert (await merge_run(client, view, last)).status == "OK"
    assert await applied(client) == 8


async def test_a_run_without_events_moves_on(client: Client, view: ShardView) -> None:
    """Offsets may be missing: aborted transactions, or nothing but dead letters."""
    await merge(client, view, [*LOG[:5]], 5, 90)
    assert await applied(client) == 90


@pytest.mark.parametrize(("first", "last"), [(0, 4), (3, 4), (0, 0)])
async def test_a_run_that_was_merged_does_nothing(client: Client, view: ShardView, first: int, last: int) -> None:
    assert await refusal(client, view, first, last) == "OK"
    assert await applied(client) == 4


async def test_applied_beyond_32_bits(client: Client) -> None:
    start = 2**52
    view, _ = await open_shard(client, KEYS, start)
    run = run_of(LOG, 0, 2)._replace(first=start, last=start + 2)
    assert (await merge_run(client, view, run._replace(first=start + 1))).status == "GAP"
    assert (await merge_run(client, view, run)).status == "OK"
    assert await applied(client) == start + 2


async def test_a_state_that_is_not_the_one_known_is_left_alone(client: Client, view: ShardView) -> None:
    assert await refusal(client, ShardView(KEYS, "0" * 32), 5, 6) == "NONCE"
    assert await refusal(client, ShardView(KEYS, view.nonce.upper() + "x"), 5, 6) == "NONCE"


async def test_a_state_that_is_gone_is_not_begun_by_a_merge(client: Client, view: ShardView) -> None:
    await client.delete(KEYS.meta)
    assert await refusal(client, view, 5, 6) == "ABSENT"
    await client.flushall()
    assert await refusal(client, view, 0, 6) == "ABSENT"


async def test_a_retired_state_takes_nothing_more(client: Client, view: ShardView) -> None:
    await view.set_status(client, Status.RETIRED)
    assert await refusal(client, view, 5, 6) == "RETIRED"
    assert await refusal(client, ShardView(KEYS, "0" * 32), 5, 6) == "RETIRED"


async def test_an_erasure_that_was_merged_leaves_a_newer_list(client: Client) -> None:
    log = [Logged(Erased(event_id="x", user_id="u0", occurred_at=0), 0)]
    view, _ = await open_shard(client, KEYS, 0)
    await merge(client, view, log, 0, 0)
    await client.set(KEYS.candidates("u0"), "list")
    await merge(client, view, log, 0, 0)
    assert await client.get(KEYS.candidates("u0")) == b"list"


async def test_a_record_quarantined_later_takes_no_version_back(client: Client, view: ShardView) -> None:
    """Offset 4 was merged as u1's last; a redelivery no longer counts it as an event."""
    control = replace(CONTROL, quarantined=frozenset({(LEARNER_EVENTS, 0, 4)}))
    run = join_run([record_of(entry, offset) for offset, entry in enumerate(LOG[:6])], 0, 5, control)
    assert run.updates["u1"].offset == 1
    assert (await merge_run(client, view, run)).status == "OK"
    assert await read_scores(client, KEYS.learners) == {"u0": 3, "u1": 4, "u2": 5}
    assert {user: stored.header.learner_offset for user, stored in (await read_stored(client, KEYS)).items()} == {
        "u0": 3, "u1": 4, "u2": 5,
    }  # fmt: skip


async def test_a_chunk_of_one_learner_and_its_erasure(client: Client) -> None:
    """More fields than Lua can unpack at once must never meet in one command."""
    count = 2 * JOINED
    log = enrolments(count, users=1)
    log.append(Logged(Erased(event_id="x", user_id="u0", occurred_at=0), 0))
    view, _ = await open_shard(client, KEYS, 0)
    for first in range(0, count, JOINED):
        await merge(client, view, log, first, first + JOINED - 1)
    assert len(await read_counts(client, KEYS)) == count
    await merge(client, view, log, count, count)
    assert await read_learners(client, KEYS) == reference.learners(log)
    assert await read_counts(client, KEYS) == reference.counts(log)


FULL = (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0"))
READ_ONLY = (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"))
ALONE = (("CONFIG", "SET", "min-replicas-to-write", "1"), ("CONFIG", "SET", "min-replicas-to-write", "0"))


@pytest.mark.parametrize(("refuse", "accept"), [FULL, READ_ONLY, ALONE], ids=["full", "read-only", "without-replicas"])
async def test_a_server_that_refuses_writes_keeps_its_state(
    client: Client, view: ShardView, refuse: tuple[str, ...], accept: tuple[str, ...]
) -> None:
    before = await contents(client)
    await client.execute_command(*refuse)
    try:
        with pytest.raises(RedisError):
            await merge_run(client, view, run_of(LOG, 5, 8))
        merging = asyncio.create_task(patiently(lambda: merge_run(client, view, run_of(LOG, 5, 8))))
        await asyncio.sleep(0.1)
        assert not merging.done()
        assert await contents(client) == before
    finally:
        await client.execute_command(*accept)
    assert (await merging).status == "OK"
    assert await read_learners(client, KEYS) == reference.learners(LOG[:9])
    assert await read_counts(client, KEYS) == reference.counts(LOG[:9])


async def test_a_full_server_carries_out_a_whole_erasure(client: Client, view: ShardView) -> None:
    """An erasure begins by deleting, which a full server allows, and must not stop half-way."""
    log = [*LOG[:5], Logged(Erased(event_id="x", user_id="u1", occurred_at=0), 0)]
    await client.execute_command(*FULL[0])
    try:
        await merge(client, view, log, 5, 5)
    finally:
        await client.execute_command(*FULL[1])
    assert await applied(client) == 5
    assert await read_learners(client, KEYS) == reference.learners(log)
    assert await read_counts(client, KEYS) == reference.counts(log)


IDS = ("61", "42", "62", "41", "e9", "65", "00", "ff", "5f", "2d")  # in Latin-1: a B b A é e NUL ÿ _ -
SAME_MOMENT = [
    Logged(
        Rated(
            event_id=f"{head}{tail}0000-0000-0000-0000-000000000000",
            user_id="u", course_id=f"c{first}", occurred_at=at(LAST_US), value=1, review=head,
        ),
        LATE_MS,
    )
    for first in IDS
    for head, tail in ((first, "4242"), (first, "6161"), ("42" if first == "61" else "61", "0000"))
]  # fmt: skip


@pytest.mark.parametrize("locale", ["C", "C.UTF-8", "en_US"])
@pytest.mark.parametrize("program", PROGRAMS)
async def test_the_servers_locale_changes_nothing(tmp_path: Path, program: str, locale: str) -> None:
    environment = environment_of(locale, tmp_path / "locale")
    fold = Fold()
    for entry in SAME_MOMENT:
        fold.apply(entry.event, entry.appended_ms)
    with running_redis(tmp_path / "redis", program_of(program), **environment) as server:
        async with aclosing(connect(Connections(redis_url=server.redis_url))) as client:
            collates: Any = await client.eval("return {'a' < 'B' and 1 or 0}", 0)
            assert collates == [locale == "en_US"]
            for log in (SAME_MOMENT, SAME_MOMENT[::-1]):
                await client.flushall()
                view, _ = await open_shard(client, KEYS, 0)
                for offset in range(len(log)):
                    await merge(client, view, log, offset, offset)
                assert await read_digest(client, KEYS) == fold.digest().hexdigest()


async def test_who_follows_an_erased_learner_is_told(client: Client, view: ShardView) -> None:
    log = [*LOG[:5], Logged(Erased(event_id="x", user_id="u1", occurred_at=0), 0), *LOG[5:7]]
    async with client.pubsub() as channel:
        await channel.subscribe(CHANGED)
        await merge(client, view, log, 5, 7)
        messages = [await channel.get_message(timeout=1) for _ in range(2)]
        said = [msgspec.msgpack.decode(one["data"]) for one in messages if one and one["type"] == "message"]
        assert said == [["u1"]]
