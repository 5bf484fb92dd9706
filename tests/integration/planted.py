"""A worker with a fault planted: `python -m tests.integration.planted KIND FOLDER`.

It comes once FOLDER/go is there, and once only: a worker that is started again is whole.
"""

import asyncio
import os
import runpy
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from functools import wraps
from pathlib import Path
from typing import Any, Final

import faust

import stream.app
from adapters.follow import ControlLog
from adapters.redis import Script
from stream import merge, refresh, watchdog
from stream.faust_driver import FaustFlow
from stream.health import Health
from stream.serving import ServingRoom
from stream.worker import Worker

SHORT_S: Final = 6.0
SESSION_S: Final = 6
"""The broker allows no shorter one."""


class Fault:
    """When a fault comes: once, or from then on for as long as the process lives."""

    def __init__(self, kind: str, folder: Path, lasts: bool = False) -> None:
        self._go, self._done = folder / "go", folder / f"{kind}.done"
        self._lasts, self._has_come = lasts, False

    @property
    def is_over(self) -> bool:
        """Whether it has come."""
        return self._done.exists()

    def comes(self) -> bool:
        """Whether it comes now."""
        if self.is_over or not self._go.exists():
            return self._lasts and self._has_come
        self._done.touch()
        self._has_come = True
        return True


def plant(owner: Any, name: str, fault: Fault, harm: Callable[[], object]) -> None:
    """Do harm as a function is called."""
    original = getattr(owner, name)

    @wraps(original)
    def planted(*args: Any, **named: Any) -> Any:
        if fault.comes():
            harm()
        return original(*args, **named)

    setattr(owner, name, planted)


def plant_async(owner: Any, name: str, fault: Fault, harm: Callable[[], Awaitable[object]]) -> None:
    """Do harm as a coroutine is awaited."""
    original = getattr(owner, name)

    @wraps(original)
    async def planted(*args: Any, **named: Any) -> Any:
        if fault.comes():
            await harm()
        return await original(*args, **named)

    setattr(owner, name, planted)


def deadlock() -> None:
    """Wait for a lock that is held."""
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


async def hang() -> None:
    """Wait for ever."""
    await asyncio.Event().wait()


def block() -> None:
    """Block the event loop."""
    time.sleep(3_600)


async def vanish() -> None:
    """Leave the agent in the one way that it does not catch."""
    raise asyncio.CancelledError


async def stop() -> None:
    """Stop this process until somebody lets it go on."""
    os.kill(os.getpid(), signal.SIGSTOP)


def _keep_app() -> list[faust.App]:
    """Return where the application will be; the broker drops it soon when it shows no life."""
    apps: list[faust.App] = []
    create = stream.app.create_app

    def created(settings: Any) -> faust.App:
        app = create(settings)
        app.conf.broker_session_timeout, app.conf.broker_heartbeat_interval = SESSION_S, 1
        apps.append(app)
        return app

    stream.app.create_app = created
    return apps


def _plant_outside(fault: Fault) -> None:
    """Have the consumer go on reading without showing the group any life."""
    apps = _keep_app()

    async def drop() -> None:
        thread: Any = apps[0].consumer._thread
        while thread._consumer is None:  # noqa: ASYNC110 - Faust signals nothing
            await asyncio.sleep(0.1)
        coordinator = thread._consumer._coordinator
        for name in ("_coordination_task", "_heartbeat_task"):
            thread.thread_loop.call_soon_threadsafe(getattr(coordinator, name).cancel)

    plant_async(Health, "_check", fault, drop)


def _plant_stop(script: Script, fault: Fault) -> None:
    """Have the process stopped with what it was about to send in its hands."""
    _keep_app()
    plant_async(script, "run", fault, stop)


_PLANTS: Final[dict[str, Callable[[Fault], None]]] = {
    "loop": lambda fault: plant(Health, "_check", fault, block),
    "compute": lambda fault: plant(refresh, "compute", fault, deadlock),
    "agent": lambda fault: plant_async(Worker, "take", fault, vanish),
    "deaf": lambda fault: plant_async(Worker, "take", fault, hang),
    "filler": lambda fault: plant_async(FaustFlow, "pause", fault, hang),
    "loader": lambda fault: plant(ServingRoom, "_load", fault, deadlock),
    "follower": lambda fault: plant_async(ControlLog, "_poll", fault, hang),
    "outside": _plant_outside,
    "frozen": lambda _: None,  # by the test, as
    "anew": lambda _: None,
    "merging": lambda fault: _plant_stop(merge._MERGE, fault),
    "publishing": lambda fault: _plant_stop(refresh._PUBLISH, fault),
}


def plant_kind(kind: str, folder: Path) -> None:
    """Plant one of the faults, if it has not come yet, with the limit and the session it is found by made short."""
    fault = Fault(kind, folder, lasts=kind == "filler")  # a rebalance would begin another fill
    if fault.is_over:
        return
    if limit := {"loader": "SLOW_S", "outside": "UNASSIGNED_S", "anew": "UNASSIGNED_S"}.get(kind):
        setattr(watchdog, limit, SHORT_S)
    _PLANTS[kind](fault)


if __name__ == "__main__":
    plant_kind(sys.argv[1], Path(sys.argv[2]))
    sys.argv = ["stream"]
    runpy.run_module("stream", run_name="__main__")
