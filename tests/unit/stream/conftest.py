"""A shard on a real server, opened empty, and a writer to it."""

import pytest

from adapters.redis import Client
from stream.view import ShardView, open_shard
from tests.served import KEYS, Log


@pytest.fixture
async def view(client: Client) -> ShardView:
    """Open an empty shard."""
    view, _ = await open_shard(client, KEYS, 0)
    return view


@pytest.fixture
def log(client: Client, view: ShardView) -> Log:
    """Write to the shard."""
    return Log(client, view)
