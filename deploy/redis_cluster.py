"""A real Redis Cluster on this machine: several of the embedded servers, each with a share of the slots, no replicas.

The state is a view of the log, so a replica saves time only: what a lost node held is filled anew.
"""

import asyncio
from functools import partial
from pathlib import Path
from typing import Any, Final

from redis.asyncio import Redis

from deploy.keeper import Child
from deploy.ports import LOOPBACK, remembered_ports
from deploy.probes import redis_answers, until
from deploy.redis import STOP_S, server_command
from schemas.errors import NotReadyError

SLOTS: Final = 16_384
FOUNDED_S: Final = 120.0
_FIELDS: Final = 8
"""Of a line of CLUSTER NODES, before the slots."""

SETTINGS: Final = {
    "cluster-enabled": "yes",
    "cluster-config-file": "nodes.conf",
    "cluster-node-timeout": "5000",
    "cluster-require-full-coverage": "no",
}
"""The nodes that live serve their slots, whoever is away."""


class EmbeddedRedisCluster:
    """Servers whose data, slots and ports live in a folder and survive restarts."""

    def __init__(self, folder: Path, lock: int, nodes: int) -> None:
        self._folder = folder.absolute()
        self._lock = lock
        self._numbers = range(1, nodes + 1)
        self._ports: dict[str, int] = {}

    @property
    def redis_url(self) -> str:
        """Where a client begins: the first node."""
        return self._url(1)

    def prepare(self) -> list[Child]:
        """Choose the ports; return the children to start."""
        self._folder.mkdir(parents=True, exist_ok=True)
        names = [f"{name}-{number}" for number in self._numbers for name in ("port", "bus")]
        self._ports = remembered_ports(self._folder / "ports.json", names)
        return [self._child(number) for number in self._numbers]

    def _child(self, number: int) -> Child:
        folder = self._folder / str(number)
        folder.mkdir(exist_ok=True)
        own = {**SETTINGS, "cluster-port": str(self._ports[f"bus-{number}"])}
        answers = partial(redis_answers, self._url(number))
        return Child(
            f"redis-{number}",
            server_command(folder, self._ports[f"port-{number}"], own),
            ready=answers,
            alive=answers,
            stop_s=STOP_S,
            descriptors=(self._lock,),
        )

    def _url(self, number: int) -> str:
        return f"redis://{LOOPBACK}:{self._ports[f'port-{number}']}/0"

    async def found(self) -> None:
        """Make the nodes know each other, and give each its share of the slots unless it has one; wait for all.

        Safe to repeat. Raises NotReadyError if they do not agree in time.
        """
        bounds = [number * SLOTS // len(self._numbers) for number in range(len(self._numbers) + 1)]
        for number, first, end in zip(self._numbers, bounds, bounds[1:], strict=False):
            await self._ask(number, "CLUSTER", "MEET", LOOPBACK, self._ports["port-1"], self._ports["bus-1"])
            if not await self._has_slots(number):
                await self._ask(number, "CLUSTER", "ADDSLOTSRANGE", first, end - 1)
        try:
            async with asyncio.timeout(FOUNDED_S):
                await until(self._is_whole)
        except TimeoutError:
            raise NotReadyError(f"the nodes of the Redis Cluster in {self._folder} do not come together") from None

    async def _ask(self, number: int, *command: Any) -> Any:
        client: Any = Redis.from_url(self._url(number), decode_responses=True)
        async with client:
            return await client.execute_command(*command)

    async def _has_slots(self, number: int) -> bool:
        """Whether a node holds slots: they stand at the end of its own line."""
        nodes: str = await self._ask(number, "CLUSTER", "NODES")
        own = next(line for line in nodes.splitlines() if "myself" in line)
        return len(own.split()) > _FIELDS

    async def _is_whole(self) -> bool:
        """Whether every node sees every slot served by a node that lives."""
        states = [await self._ask(number, "CLUSTER", "INFO") for number in self._numbers]
        return all({"cluster_state:ok", f"cluster_slots_ok:{SLOTS}"} <= set(state.splitlines()) for state in states)
