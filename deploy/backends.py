"""Kafka and Redis for a state directory: those the environment names, else our own."""

import asyncio
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from pydantic_settings import BaseSettings, SettingsConfigDict
from redis.exceptions import RedisError

from adapters.redis import check_eviction, connect
from deploy.kafka import EmbeddedKafka, copies_of
from deploy.probes import kafka_answers, until
from deploy.redis import EmbeddedRedis
from deploy.redis_cluster import EmbeddedRedisCluster
from deploy.supervisor import Supervisor
from schemas.errors import ConfigurationError
from schemas.settings import Brokers, Connections, RedisUrl

ANSWER_S: Final = 10.0
"""How long a Kafka that the environment names may take to answer."""


class Configured(BaseSettings):
    """What is used in place of the embedded parts; None where our own is to be started."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    kafka_bootstrap_servers: Brokers | None = None
    redis_url: RedisUrl | None = None
    redis_cluster: bool = False
    replication_factor: int | None = None


class Backends(NamedTuple):
    """Addresses of the Kafka and the Redis in use; `copies`: how many Kafka is to keep of each partition."""

    bootstrap_servers: str
    redis_url: str
    redis_cluster: bool = False
    copies: int = 1


EMBEDDED: Final = Configured.model_construct()
"""Both embedded, whatever the environment says."""


async def start_backends(
    supervisor: Supervisor, state_dir: Path, lock: int, configured: Configured, nodes: int = 1
) -> Backends:
    """Start what is not configured, of so many nodes each, and check what is; return the addresses.

    Raises ConfigurationError if a configured one does not answer or does not fit, NotReadyError if ours do not start.
    """
    kafka, redis = EmbeddedKafka(state_dir / "kafka", lock, nodes), _embedded_redis(state_dir / "redis", lock, nodes)
    check_nodes(state_dir, nodes)
    children = []
    if configured.kafka_bootstrap_servers is None:
        children += await kafka.prepare(supervisor)
    else:
        await _check_kafka(configured.kafka_bootstrap_servers)
    if configured.redis_url is None:
        children += redis.prepare()
    else:
        await _check_redis(configured.redis_url)
    await supervisor.start(*children)
    if configured.redis_url is None:
        await redis.found()
    own_copies = copies_of(nodes) if configured.kafka_bootstrap_servers is None else 1
    return Backends(
        configured.kafka_bootstrap_servers or kafka.bootstrap_servers,
        configured.redis_url or redis.redis_url,
        configured.redis_cluster if configured.redis_url else nodes > 1,
        configured.replication_factor or own_copies,
    )


def _embedded_redis(folder: Path, lock: int, nodes: int) -> EmbeddedRedis | EmbeddedRedisCluster:
    return EmbeddedRedis(folder, lock) if nodes == 1 else EmbeddedRedisCluster(folder, lock, nodes)


def check_nodes(state_dir: Path, nodes: int) -> None:
    """Raise ConfigurationError if the state directory was founded with another number of nodes; remember it."""
    path = state_dir / "nodes"
    is_new = not (state_dir / "kafka").exists() and not (state_dir / "redis").exists()
    founded = int(path.read_text()) if path.exists() else nodes if is_new else 1
    if founded != nodes:
        raise ConfigurationError(
            f"{state_dir} was founded with {founded} nodes of Kafka and Redis, not {nodes}: "
            f"start it with --nodes {founded}, or choose another directory with --state-dir"
        )
    path.write_text(str(nodes))


async def _check_kafka(bootstrap_servers: str) -> None:
    try:
        async with asyncio.timeout(ANSWER_S):
            await until(partial(kafka_answers, bootstrap_servers))
    except TimeoutError:
        raise ConfigurationError(
            f"KAFKA_BOOTSTRAP_SERVERS is {bootstrap_servers}, but no broker answers there: "
            "start it, or unset the variable to use the embedded one"
        ) from None


async def _check_redis(redis_url: str) -> None:
    client = connect(Connections(redis_url=redis_url))
    try:
        await check_eviction(client)
    except (RedisError, OSError, ValueError) as error:
        raise ConfigurationError(
            f"REDIS_URL does not lead to a server that answers ({error}): "
            "start it, or unset the variable to use the embedded one"
        ) from error
    finally:
        await client.aclose()
