"""`up`: a whole system on one machine, from nothing to serving, supervised until it is told to stop."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO

from aiokafka.errors import KafkaError

from adapters.topics import check_partitions, ensure_topics
from datasets.detect import detect
from deploy.backends import Backends, Configured, start_backends
from deploy.imports import folder_digest, imported, remember_import
from deploy.keeper import READY_S
from deploy.lock import locked
from deploy.log_lines import LogLines
from deploy.preflight import check_disk, choose_ports, development_secret
from deploy.ready import READY, ready_text, remove, write_by_rename
from deploy.roles import System, roles
from deploy.supervisor import Supervisor
from deploy.this_python import run_module
from schemas.errors import ConfigurationError
from schemas.settings import load

Alongside = Callable[[str], Coroutine[Any, Any, None]]

_CANCEL_S: Final = 0.5
_ASK_AGAIN_S: Final = 1.0
_STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class UpOptions:
    """What `up` is asked for. `port` 0 is a free one; `partitions` counts for a new state directory only.

    `nodes`: of the embedded Kafka and of the embedded Redis. `apis`: processes of the API, on ports from `port` on.
    """

    state_dir: Path
    data: Path | None = None
    workers: int = 2
    port: int = 8000
    ready_file: Path | None = None
    partitions: int = 16
    nodes: int = 1
    apis: int = 1


async def _nothing(api_url: str) -> None:
    """Take the API's address and do nothing."""


async def up(options: UpOptions, alongside: Alongside = _nothing, log_stream: TextIO | None = None) -> int:
    """Run a system until SIGINT or SIGTERM; return 0.

    `alongside` is given the API's address once it serves, and cancelled before the system stops; the processes' lines
    go to `log_stream` (standard error, if there is none). Raises StateDirInUseError if another one
    runs on the directory, ConfigurationError if a port, the disk or a configured server does not fit,
    UnknownLayoutError if the data has no layout, NotReadyError if a part does not start. Nothing is left running.
    """
    _check(options)
    async with AsyncExitStack() as stack:
        stop = stack.enter_context(_told_to_stop())
        lock = stack.enter_context(locked(options.state_dir))
        log = stack.enter_context(LogLines(log_stream))
        running = _Up(options, log)
        async with running.supervisor:
            try:
                await _until(stop, running.run(lock, alongside))
            finally:
                running.forget()
    return 0


def _check_workers(workers: int, shards: int) -> None:
    if not 1 <= workers <= shards:
        raise ConfigurationError(f"{workers} workers cannot share {shards} shards: choose --workers from 1 to {shards}")


def _check(options: UpOptions) -> None:
    _check_workers(options.workers, options.partitions)
    if options.data is not None:
        detect(options.data)


@contextmanager
def _told_to_stop() -> Iterator[asyncio.Event]:
    """Yield an event that is set by Ctrl-C, by SIGTERM, and when the terminal is closed."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in _STOP_SIGNALS:
            loop.remove_signal_handler(number)


async def _until(stop: asyncio.Event, work: Awaitable[None]) -> None:
    """Do the work until it fails or the event is set; a client that swallows its cancellation is not waited for."""
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        if not working.done():
            working.cancel()
            await asyncio.wait({working}, timeout=_CANCEL_S)
    if working.done() and not working.cancelled() and (error := working.exception()) and not stop.is_set():
        raise error


async def _found(backends: Backends, partitions: int) -> int:
    """Create what is missing of the topics; return the number of shards. A broker that stands still is asked again."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + READY_S
    while True:
        try:
            await ensure_topics(backends.bootstrap_servers, partitions, backends.copies)
            return await check_partitions(backends.bootstrap_servers)
        except KafkaError:
            if loop.time() > end_s:
                raise
            await asyncio.sleep(_ASK_AGAIN_S)


class _Up:
    """One run of `up`."""

    def __init__(self, options: UpOptions, log: LogLines) -> None:
        self.supervisor = Supervisor(log, self._write_ready)
        self._options = options
        self._log = log
        self._state_dir = options.state_dir.absolute()
        self._ready_files = [self._state_dir / READY] + ([options.ready_file] if options.ready_file else [])
        self._serving: System | None = None

    async def run(self, lock: int, alongside: Alongside) -> None:
        """Start everything, say so, import the data, and stay."""
        remove(self._ready_files)
        check_disk(self._state_dir)
        system = await self._start(lock)
        self._serving = system
        self._write_ready()
        self._log.say("up", f"serving at {', '.join(system.api_urls)}")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(alongside(system.api_urls[0]))
            if self._options.data is not None:
                await self._import(system, self._options.data)
            await asyncio.Event().wait()

    async def _start(self, lock: int) -> System:
        options, secret = self._options, development_secret(self._state_dir)
        ports = choose_ports(options.port, options.apis)
        backends = await start_backends(self.supervisor, self._state_dir, lock, load(Configured), options.nodes)
        _check_workers(options.workers, await _found(backends, options.partitions))
        system = System(self._state_dir, backends, secret, ports, options.workers)
        await self.supervisor.start(*roles(system))
        return system

    async def _import(self, system: System, data: Path) -> None:
        digest = await asyncio.to_thread(folder_digest, data)
        if digest in imported(self._state_dir):
            self._log.say("up", f"{data} was imported before")
            return
        command = run_module("cli.app", "import", str(data))
        status = await self.supervisor.run_once("import", command, **system.environment())
        if status == 0:
            remember_import(self._state_dir, digest)
        else:
            self._log.say("up", f"importing {data} failed with status {status}: see its lines above")

    def _write_ready(self) -> None:
        """Write the addresses and the present process ids, once everything serves and after each restart."""
        if self._serving is None:
            return
        text = ready_text(self._serving.api_urls, self._serving.backends, self.supervisor.pids)
        try:
            for path in self._ready_files:
                write_by_rename(path, text)
        except OSError as error:
            self._log.say("up", f"the process ids could not be written: {error}")

    def forget(self) -> None:
        """Remove what says that the system runs."""
        self._serving = None
        remove(self._ready_files)
