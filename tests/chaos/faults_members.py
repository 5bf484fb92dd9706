"""Workers that come and go, and networks between a worker and its servers that are slow, cut, or half open."""

import asyncio
from contextlib import suppress
from typing import Final

from aiokafka.errors import KafkaError

from tests.chaos.extra_worker import NAME
from tests.chaos.fault import Fault, Target, UnprovenError, landed
from tests.chaos.group import members, shards_of
from tests.chaos.proxy import Mood, Proxy

_SLOW_S: Final = 0.15
_CUTS: Final = 12


async def _extra_shards(target: Target) -> list[int]:
    with suppress(KafkaError):
        return shards_of(NAME, await members(target.stack.connections.kafka_bootstrap_servers))
    return []


async def _ensure_extra(target: Target) -> list[int]:
    """Have the further worker run and own shards; return them."""
    target.extra.start()

    async def owns() -> bool:
        if not target.extra.runs:
            target.extra.start()  # it may have given up on servers that another fault took away
        return bool(await _extra_shards(target))

    await landed(owns, "the further worker has shards", 120)
    return await _extra_shards(target)


class AddWorker(Fault):
    """A further worker joins."""

    name = "worker added"

    async def inject(self, target: Target) -> str:
        """Start it; the proof is that the broker has given it shards."""
        if target.extra.runs:
            await RemoveWorker().inject(target)
        before = len(await members(target.stack.connections.kafka_bootstrap_servers))
        target.strike_now()
        shards = await _ensure_extra(target)
        after = len(await members(target.stack.connections.kafka_bootstrap_servers))
        return f"{before} members became {after}; the new one has shards {shards}"


class RemoveWorker(Fault):
    """A worker is told to stop and nobody starts another in its place."""

    name = "worker removed"

    async def inject(self, target: Target) -> str:
        """Stop it; the proof is that the broker knows it no longer."""
        shards = target.own_shards = await _ensure_extra(target)
        target.strike_now()
        status = await target.extra.stop()

        async def gone() -> bool:
            return not await _extra_shards(target)

        await landed(gone, "the broker has forgotten the worker")
        return f"the worker ended with status {status}; its shards {shards} are others' now"


class BadNetwork(Fault):
    """What lies between the further worker and one of its servers misbehaves for a while."""

    hold_s = 8.0

    def __init__(self, server: str, how: str) -> None:
        self.name = f"network to {server} {how}"
        self._server = server
        self._how = how
        self._task: asyncio.Task[None] | None = None

    def _proxy(self, target: Target) -> Proxy:
        return target.extra.redis if self._server == "redis" else target.extra.kafka

    async def inject(self, target: Target) -> str:
        """Begin; the proof is what the proxy has counted."""
        await _ensure_extra(target)
        proxy = self._proxy(target)
        before = proxy.delayed, proxy.cut, proxy.swallowed
        match self._how:
            case "slow":
                proxy.mood = Mood(delay_s=_SLOW_S)
            case "half open":
                proxy.mood = Mood(swallows=True)
            case _:
                self._task = asyncio.create_task(self._cut(proxy))

        async def counted() -> bool:
            return (proxy.delayed, proxy.cut, proxy.swallowed) != before

        await landed(counted, f"the proxy treats something {self._how}")
        await asyncio.sleep(self.hold_s / 2)
        delayed, cut, swallowed = proxy.delayed - before[0], proxy.cut - before[1], proxy.swallowed - before[2]
        return f"{delayed} pieces delayed, {cut} connections cut, {swallowed} pieces swallowed"

    async def _cut(self, proxy: Proxy) -> None:
        for _ in range(_CUTS):
            proxy.cut_all()
            await asyncio.sleep(self.hold_s / _CUTS)

    async def heal(self, target: Target) -> None:
        """Let everything pass; what hangs is cut, as a network does in the end."""
        if self._task:
            await self._task
        target.extra.calm()
        if self._how == "half open" and not self._proxy(target).cut_all():
            raise UnprovenError("no connection was open any more")


def bad_networks() -> list[Fault]:
    """Return the ways of misbehaving before both servers."""
    return [BadNetwork(server, how) for server in ("redis", "kafka") for how in ("slow", "cut", "half open")]
