"""What is checked and made before anything starts."""

import os
import secrets
import shutil
from pathlib import Path
from typing import Final

from deploy.ports import free_port, is_free
from schemas.errors import ConfigurationError

MIN_FREE_BYTES: Final = 1_000_000_000
SECRET: Final = "secret"


def check_disk(state_dir: Path) -> None:
    """Raise ConfigurationError unless a gigabyte is free: a broker whose disk fills up stops."""
    free = shutil.disk_usage(state_dir).free
    if free < MIN_FREE_BYTES:
        raise ConfigurationError(
            f"only {free / 1e6:.0f} MB are free where {state_dir} lies, 1,000 are needed: "
            "free some, or choose another directory with --state-dir"
        )


def choose_port(port: int) -> int:
    """Return the port the API will listen on, a free one for 0; ConfigurationError if it is taken."""
    if port == 0:
        return free_port()
    if not is_free(port):
        raise ConfigurationError(f"port {port} is in use: choose another with --port, or --port 0 for a free one")
    return port


def choose_ports(port: int, number: int) -> tuple[int, ...]:
    """Return so many ports for the API, from the given one on, free ones for 0; ConfigurationError if one is taken."""
    if port + number > 65_536:
        raise ConfigurationError(f"there are no {number} ports from {port} on: choose a lower one with --port")
    ports: list[int] = []
    for following in range(number):
        ports.append(choose_port(port + following) if port else free_port(ports))
    return tuple(ports)


def development_secret(state_dir: Path) -> str:
    """Return the secret that signs this directory's tokens, made at the first call, readable by its owner only."""
    path = state_dir / SECRET
    if not path.exists():
        staged = state_dir / f".{SECRET}.{os.getpid()}"
        staged.touch(mode=0o600)
        staged.write_text(secrets.token_hex(32))
        staged.replace(path)
    return path.read_text().strip()
