"""A shard on a Redis of the bench's own, and what it costs to merge into it and to make its lists."""

import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

from adapters.redis import Client, connect
from deploy.lock import locked
from deploy.log_lines import LogLines
from deploy.redis import EmbeddedRedis
from deploy.supervisor import Supervisor
from schemas.events import LearnerEvent
from schemas.keys import ShardKeys
from schemas.settings import Connections
from stream.lists import Marked
from stream.merge import LearnerUpdate, Run, merge_run
from stream.refresh import Refresher
from stream.serving import Serving
from stream.settings import CANDIDATES
from stream.view import ShardView, open_shard

BATCH: Final = 64
"""As a worker's."""
_REFRESHED_AT_ONCE: Final = 1_024
_MERGED_AT_ONCE: Final = 2_000


class Spent(NamedTuple):
    """What was used up to now: CPU seconds of this process and of Redis, and the bytes that Redis holds."""

    own_s: float
    redis_s: float
    bytes: int


class OwnShard:
    """A shard, and the offset that comes next."""

    def __init__(self, client: Client, view: ShardView, redis_url: str) -> None:
        self.client, self.view, self.redis_url = client, view, redis_url
        self.refresher = Refresher(client, CANDIDATES, BATCH)
        self._next = 0

    async def spent(self) -> Spent:
        """Return what was used up to now."""
        answer: Any = await self.client.info()
        return Spent(time.process_time(), answer["used_cpu_user"] + answer["used_cpu_sys"], int(answer["used_memory"]))

    async def merge(self, events: Iterable[LearnerEvent]) -> None:
        """Merge events, as the filler does."""
        for run in self._runs(iter(events)):
            answer = await merge_run(self.client, self.view, run)
            if answer.status != "OK":
                raise RuntimeError(f"the merge was refused: {answer.status}")

    def _runs(self, events: Iterator[LearnerEvent]) -> Iterator[Run]:
        """Yield the events as runs of the shard."""
        while part := list(islice(events, _MERGED_AT_ONCE)):
            updates = dict[str, LearnerUpdate]()
            for offset, event in enumerate(part, self._next):
                updates.setdefault(event.user_id, LearnerUpdate()).take(event, offset, 0)
            first, self._next = self._next, self._next + len(part)
            yield Run(first, self._next - 1, updates, [], len(part))

    async def refresh(self, users: Sequence[str], serving: Serving) -> None:
        """Make the lists of these learners."""
        for first in range(0, len(users), _REFRESHED_AT_ONCE):
            part = users[first : first + _REFRESHED_AT_ONCE]
            await self.refresher.refresh([Marked(self.view, user_id) for user_id in part], serving)

    async def forget_marks(self) -> None:
        """Take nobody's list for one that is behind: what is marked waits, and a sweep is to be seen alone."""
        await self.client.config_set("lazyfree-lazy-user-del", "no")  # else its bytes go later, beside what is measured
        await self.client.delete(self.view.keys.dirty)


@asynccontextmanager
async def own_shard() -> AsyncIterator[OwnShard]:
    """Start a server of our own, and open a shard on it."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="growth-")))
        lock, log = stack.enter_context(locked(folder)), stack.enter_context(LogLines())
        supervisor, redis = await stack.enter_async_context(Supervisor(log)), EmbeddedRedis(folder / "redis", lock)
        await supervisor.start(*redis.prepare())
        client = connect(Connections(redis_url=redis.redis_url, redis_cluster=False))
        stack.push_async_callback(client.aclose)
        view, _ = await open_shard(client, ShardKeys(0, 0), 0)
        yield OwnShard(client, view, redis.redis_url)
