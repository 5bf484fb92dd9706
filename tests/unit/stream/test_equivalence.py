"""Replay equivalence: whatever befalls those who merge a log, the state is that of a straight replay, byte for byte.

`pytest --hypothesis-profile=long` draws thousands of examples.
"""

import secrets
from pathlib import Path
from typing import Any, Final

from hypothesis import example, given

import stream
from adapters.redis import Client, Script
from schemas.keys import ShardKeys
from schemas.meta import Meta, Status
from stream.merge import Wanted, join_run, merge_run
from stream.view import ShardView, delete_state, open_shard, read_meta
from tests import reference
from tests.lives import Life, Line, Step, examples, lives
from tests.shard_state import contents, enrolments, read_counts, read_digest, read_learners

OPEN: Final = Script(Path(str(stream.__file__)).with_name("open.lua"))
LIVED, STRAIGHT = ShardKeys(0, 0), ShardKeys(0, 1)


class Worker:
    """Merges as a worker does: what it takes, and from the state's `applied` on once it is refused."""

    def __init__(self, client: Client, life: Life, keys: ShardKeys = LIVED) -> None:
        self._client = client
        self._records = life.records()
        self._control = life.control
        self._keys = keys
        self._view: ShardView | None = None
        self._next = 0

    async def _merge(self, view: ShardView, first: int, end: int) -> bool:
        run = join_run(self._records[first:end], first, end - 1, self._control)
        is_merged = (await merge_run(self._client, view, run, wanted=Wanted.FIRSTS)).status == "OK"
        self._next = end if is_merged else self._next
        return is_merged

    async def take(self, back: int, size: int) -> None:
        """Take a batch as the agent gets it: what follows, or, after a rebalance, from before or beyond that."""
        first = min(max(self._next - back, 0), len(self._records))
        end = min(first + size, len(self._records))
        if first < end and not (self._view and await self._merge(self._view, first, end)):
            await self.fill(size, 1)

    async def fill(self, size: int, chunks: int, lost: bool = False) -> None:
        """Fill from what the state has applied, so many chunks; then be gone, as if killed."""
        view, meta = await open_shard(self._client, self._keys, 0, lost)
        await self._fill_from(view, meta, size, chunks)

    async def open_slowly(self, other: "Worker", size: int) -> None:
        """Open a state whose meta is lost; before its leftovers are deleted, another worker merges on."""
        await self._client.delete(self._keys.meta)
        await OPEN.run(self._client, [self._keys.meta], [self._keys.generation, secrets.token_hex(16), -1, "0", ""])
        meta = await read_meta(self._client, self._keys)
        assert meta is not None and meta.status == Status.WIPING
        await other.take(len(self._records), size)
        view = ShardView(self._keys, meta.nonce)
        if await delete_state(self._client, view):
            await view.set_status(self._client, Status.BUILDING)
            await self._fill_from(view, meta, size, 3)

    async def _fill_from(self, view: ShardView, meta: Meta, size: int, chunks: int) -> None:
        self._view = view
        for _ in range(chunks):
            first = meta.applied + 1
            end = min(first + size, len(self._records))
            if first >= end or not await self._merge(view, first, end):
                return
            meta = meta._replace(applied=end - 1)


class World:
    """Two workers on one server, and what befalls them."""

    def __init__(self, client: Client, life: Life) -> None:
        self._client = client
        self._life = life
        self._workers = [Worker(client, life), Worker(client, life)]
        self._copy: dict[Any, Any] = {}

    async def suffer(self, step: Step) -> None:
        """Let a step happen."""
        worker, other = self._workers[step.worker], self._workers[1 - step.worker]
        match step.what:
            case "take":
                await worker.take(step.back, step.size)
            case "fill":
                await worker.fill(step.size, step.back + 1)
            case "restart":
                self._workers[step.worker] = Worker(self._client, self._life)
            case "give up":
                await worker.fill(step.size, step.back + 1, lost=True)
            case "open slowly":
                await worker.open_slowly(other, step.size)
            case _:
                await self._strike(step)

    async def _strike(self, step: Step) -> None:
        """Let something happen to the server."""
        match step.what:
            case "empty":
                await self._client.flushall()
            case "lose meta":  # and counts or histories with it: what is left doesn't add up
                histories: Any = await self._client.keys(f"{LIVED.history('')}*")
                beside = histories if step.back % 2 else [LIVED.counts]
                await self._client.delete(LIVED.meta, *beside)
            case "keep copy":
                keys: Any = await self._client.keys()
                self._copy = {key: await self._client.dump(key) for key in keys}
            case "put copy back":
                await self._client.flushall()
                for key, packed in self._copy.items():
                    await self._client.restore(key, 0, packed)


async def state_of(client: Client, keys: ShardKeys) -> dict[str, object]:
    """Return every key of a shard and generation by what follows its prefix, but marks, which carry the time."""
    prefix, held = keys.prefix.encode(), await contents(client)
    found = {key.decode().removeprefix(keys.prefix): value for key, value in held.items() if key.startswith(prefix)}
    found.pop("d", None)
    meta: Any = found["m"]
    found["m"] = {name: value for name, value in meta.items() if name not in (b"nonce", b"generation")}
    return found


PLAIN: Final[list[Line]] = list(enrolments(8))
TAKEN: Final = Step("take", 0, 0, 8)
TAKEN_WHILE_WIPED: Final = Life(PLAIN, frozenset(), [TAKEN, Step("open slowly", 1, 0, 4)])
HOLE: Final = Life(PLAIN, frozenset(), [Step("take", 0, 0, 2), Step("take", 0, -1, 2)])
LEFTOVERS: Final = [Life(PLAIN, frozenset(), [TAKEN, Step("lose meta", 0, back, 1)]) for back in (0, 1)]


@examples(60)
@given(life=lives)
@example(life=HOLE)
@example(life=TAKEN_WHILE_WIPED)
@example(life=LEFTOVERS[0])
@example(life=LEFTOVERS[1])
async def test_whatever_happens_the_state_is_that_of_a_straight_replay(any_client: Client, life: Life) -> None:
    client, everything = any_client, len(life.log)
    await client.flushall()
    world = World(client, life)
    for step in life.steps:
        await world.suffer(step)
    await Worker(client, life).fill(7, everything)
    await Worker(client, life, STRAIGHT).fill(everything, 1)
    lived = await state_of(client, LIVED)
    assert lived == await state_of(client, STRAIGHT)
    assert lived["m"] == {b"status": Status.BUILDING.encode(), b"applied": str(everything - 1).encode()}
    assert await read_learners(client, LIVED) == reference.learners(life.events)
    assert await read_counts(client, LIVED) == reference.counts(life.events)
    assert await read_digest(client, LIVED) == reference.digest(life.events)
