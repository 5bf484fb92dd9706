"""A Kafka and a Redis of the bench's own, and the log that is written there before anything is measured."""

import asyncio
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from deploy.embedded import EmbeddedStack, embedded
from schemas.events import LearnerEvent
from schemas.settings import Connections
from stream.publisher import open_publisher, publish_events

PARTITIONS = 16


class Backends(NamedTuple):
    """A running Kafka and Redis, with an empty log."""

    stack: EmbeddedStack
    folder: Path

    @property
    def connections(self) -> Connections:
        """What every process is told."""
        return Connections(
            kafka_bootstrap_servers=self.stack.bootstrap_servers,
            redis_url=self.stack.redis_url,
            bundle_url=str(self.folder / "bundles"),
            bundle_cache=self.folder / "bundle-cache",
        )

    @property
    def environment(self) -> dict[str, str]:
        """The same for child processes."""
        told = self.connections
        return {
            "KAFKA_BOOTSTRAP_SERVERS": told.kafka_bootstrap_servers,
            "REDIS_URL": told.redis_url,
            "BUNDLE_URL": told.bundle_url,
            "BUNDLE_CACHE": str(told.bundle_cache),
            "SNAPSHOT_DIR": str(self.folder / "snapshots"),
        }

    def publish(self, events: Sequence[LearnerEvent]) -> float:
        """Append events as fast as Kafka takes them; return the seconds."""
        return asyncio.run(_publish(self.stack.bootstrap_servers, events))


@contextmanager
def backends() -> Iterator[Backends]:
    """Start them over a temporary folder, and stop them."""
    with (
        tempfile.TemporaryDirectory(prefix="coursestream-bench-") as folder,
        embedded(Path(folder, "state"), PARTITIONS) as stack,
    ):
        yield Backends(stack, Path(folder))


async def _publish(bootstrap_servers: str, events: Sequence[LearnerEvent]) -> float:
    clock = asyncio.get_running_loop().time
    async with open_publisher(bootstrap_servers) as producer:
        began = clock()
        await publish_events(producer, events)
        return clock() - began
