"""Free TCP ports on the loopback interface."""

import json
import random
import socket
from collections.abc import Collection
from pathlib import Path
from typing import Final

LOOPBACK: Final = "127.0.0.1"

_CANDIDATES: Final = range(20_000, 32_000)
"""Below the range from which the kernel takes outgoing ports, so that none is lost while its server restarts."""


def is_free(port: int) -> bool:
    """Return whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def free_port(taken: Collection[int] = ()) -> int:
    """Return a free loopback port that is none of `taken`."""
    while True:
        port = random.choice(_CANDIDATES)
        if port not in taken and is_free(port):
            return port


def remembered_ports(path: Path, names: Collection[str]) -> dict[str, int]:
    """Return a port for each name: those remembered in the file where they are still free, else new ones."""
    known: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
    ports: dict[str, int] = {}
    for name in names:
        port = known.get(name)
        ports[name] = port if port is not None and is_free(port) else free_port(ports.values())
    path.write_text(json.dumps(ports))
    return ports
