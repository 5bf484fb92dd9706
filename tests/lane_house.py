"""The API twice over one Redis, with and without the fast lane, asked by raw requests; Kafka alone is made up."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import uvicorn
from starlette.types import Receive, Scope, Send

from adapters.experiments import ExperimentCounts
from adapters.follow import ControlLog
from adapters.redis import connect, end_tasks
from api.app import create_app
from api.auth import Verifier
from api.changes import Changes
from api.event_log import EventLog
from api.fallback import Fallback
from api.grades import GradedLists
from api.lane_protocol import protocol_of
from api.lists import Lists
from api.lookup import Learners
from api.metrics import Metrics
from api.middleware import Observe
from api.publishing import Publisher
from api.quotas import Quotas
from api.search import TitleSearch
from api.settings import ApiSettings
from api.shard_watch import ShardWatch
from api.shared import SharedCache
from api.trust import Trust
from api.wiring import Services, lane_of
from tests.api_server import SECRET
from tests.waiting import until

_DATE: Final = re.compile(rb"^date: [^\r]*\r\n", re.MULTILINE)


class Ends:
    """Where the log ends, as a test says."""

    end: int | None = 0

    def lag(self, shard: int, applied: int) -> int | None:
        """Return how much of the log is not merged."""
        return None if self.end is None else max(self.end - applied - 1, 0)

    def end_since(self, shard: int, moment: float) -> int | None:
        """Return the end."""
        return self.end

    def hurry(self) -> None:
        """Do nothing."""


async def _no_fallback() -> Fallback | None:
    return None


def services_over(settings: ApiSettings, control: ControlLog, ends: Any, metrics: Metrics, clock: Any) -> Services:
    """Return the parts of an API, connected to Redis alone."""
    client, timeout_s = connect(settings), settings.read_timeout_s
    shared = SharedCache(client, 1, timeout_s, _no_fallback)
    watch = ShardWatch(client, control, Trust(ends), 1, timeout_s)
    return Services(
        settings=settings, client=client, control=control, ends=ends, shared=shared, watch=watch, metrics=metrics,
        titles=TitleSearch(client, timeout_s), changes=Changes(client, 1), lists=Lists(shared, control, ends),
        learners=Learners(client, control, watch, timeout_s),
        grades=GradedLists(client, shared, control, ends, timeout_s),
        publisher=Publisher(EventLog("unused:1", 1), client, control, 1), verifier=Verifier(settings),
        quotas=Quotas(settings, clock), counts=ExperimentCounts(client, control), lane=lane_of(settings, client),
    )  # fmt: skip


class Counted:
    """The ordinary application; counts what reaches it."""

    def __init__(self, app: Any) -> None:
        self.app, self.state, self.requests = app, app.state, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.requests += 1
        await self.app(scope, receive, send)


@dataclass
class Served:
    """A served API."""

    services: Services
    app: Counted
    port: int

    async def answer(self, request: bytes) -> bytes:
        """Return the whole answer to a raw request, which has to ask for the connection's end; without its date."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        answer = await asyncio.wait_for(reader.read(), 20)
        writer.close()
        return _DATE.sub(b"", answer)

    async def look(self) -> None:
        """Take in what stands in Redis, as the background work does."""
        await self.services.watch.look()
        await self.services.shared.refresh()


@asynccontextmanager
async def served(
    redis_url: str, control: ControlLog, ends: Ends, clock: Any, fast_lane: bool, **settings: Any
) -> AsyncIterator[Served]:
    """Serve the API on a free port of loopback."""
    chosen = ApiSettings(
        redis_url=redis_url, jwt_secret=SECRET, fast_lane=fast_lane, **{"read_timeout_s": 5, **settings}
    )
    app = create_app(chosen)
    middleware: list[Any] = app.user_middleware
    (metrics,) = (one.kwargs["metrics"] for one in middleware if one.cls is Observe)
    app.state.services = services = services_over(chosen, control, ends, metrics, clock)
    counted: Any = Counted(app)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(services.client.aclose)
        place = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        config = uvicorn.Config(
            counted,
            http=protocol_of(counted, fast_lane),
            lifespan="off",
            log_config=None,
            access_log=False,
        )
        server = uvicorn.Server(config)
        tasks = [asyncio.create_task(server._serve([place]))]  # `serve` would take pytest's signals
        if services.lane:
            tasks.append(asyncio.create_task(services.lane.run()))
        try:
            await services.learners.prepare()

            async def is_up() -> bool:
                return server.started and (services.lane is None or services.lane.is_open)

            await until(is_up, "an API that serves")
            yield Served(services, counted, place.getsockname()[1])
        finally:
            server.should_exit = True
            await asyncio.wait(tasks[:1], timeout=5)
            await end_tasks(tasks)
