"""The children that make up a system besides Kafka and Redis: workers, trainer and API, with their settings."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from deploy.backends import Backends
from deploy.keeper import Child
from deploy.ports import LOOPBACK
from deploy.probes import Heartbeat, file_exists, http_answers
from deploy.this_python import run_module


@dataclass(frozen=True)
class System:
    """What the roles of one running system share. `state_dir` is absolute; each process of the API has a port."""

    state_dir: Path
    backends: Backends
    secret: str
    ports: tuple[int, ...]
    workers: int

    @property
    def api_urls(self) -> list[str]:
        """Addresses of the processes of the API."""
        return [f"http://{LOOPBACK}:{port}" for port in self.ports]

    def environment(self) -> dict[str, str]:
        """Return the settings that every role and every command reads."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.backends.bootstrap_servers,
            "REDIS_URL": self.backends.redis_url,
            "REDIS_CLUSTER": str(self.backends.redis_cluster).lower(),
            "BUNDLE_URL": os.environ.get("BUNDLE_URL") or str(self.state_dir / "bundles"),
            "BUNDLE_CACHE": os.environ.get("BUNDLE_CACHE") or str(self.state_dir / "bundle-cache"),
            "COURSESTREAM_STATE_DIR": str(self.state_dir),
        }


def _announced(system: System, name: str, command: tuple[str, ...], settings: Mapping[str, str]) -> Child:
    """Return a child that writes a file when it is ready, and touches it every second as long as it lives."""
    ready_file = system.state_dir / "run" / f"{name}.ready"
    ready_file.parent.mkdir(exist_ok=True)
    return Child(
        name,
        command,
        ready=partial(file_exists, ready_file),
        alive=Heartbeat(ready_file),
        environment={**system.environment(), "READY_FILE": str(ready_file), **settings},
        prepare=partial(ready_file.unlink, missing_ok=True),
    )


API_STOP_S: Final = 5.5
"""Longer than the API waits for requests that are under way."""


def api(system: System, number: int) -> Child:
    """Return a process of the API: ready, and alive, when `/livez` answers, which depends on nothing."""
    settings = {"API_HOST": LOOPBACK, "API_PORT": str(system.ports[number - 1]), "JWT_SECRET": system.secret}
    answers = partial(http_answers, f"{system.api_urls[number - 1]}/livez")
    return Child(
        "api" if len(system.ports) == 1 else f"api-{number}",
        run_module("api"),
        ready=answers,
        alive=answers,
        environment={**system.environment(), **settings},
        stop_s=API_STOP_S,
    )


def worker(system: System, number: int) -> Child:
    """Return a stream worker: ready when it has joined its group. One BLAS thread each: they share the cores."""
    name = f"worker-{number}"
    settings = {"WORKER_ID": name, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return _announced(system, name, run_module("stream"), settings)


def trainer(system: System) -> Child:
    """Return the trainer: ready when it follows `control`."""
    settings = {"SNAPSHOT_DIR": str(system.state_dir / "snapshots")}
    return _announced(system, "trainer", run_module("trainer"), settings)


def roles(system: System) -> list[Child]:
    """Return all children of the system that need Kafka and Redis."""
    workers = [worker(system, number) for number in range(1, system.workers + 1)]
    apis = [api(system, number) for number in range(1, len(system.ports) + 1)]
    return [*apis, *workers, trainer(system)]
