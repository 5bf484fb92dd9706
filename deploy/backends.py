"""Kafka and Redis for a state directory: those the environment names, else our own."""

import asyncio
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from pydantic_settings import BaseSettings, SettingsConfigDict
from redis.exceptions import RedisError

from adapters.redis import check_eviction, connect
from deploy.kafka import EmbeddedKafka
from deploy.probes import kafka_answers, until
from deploy.redis import EmbeddedRedis
from deploy.supervisor import Supervisor
from schemas.errors import ConfigurationError
from schemas.settings import Connections

ANSWER_S: Final = 10.0
"""How long a Kafka that the environment names may take to answer."""


class Configured(BaseSettings):
    """What is used in place of the embedded parts; None where our own is to be started."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    kafka_bootstrap_servers: str | None = None
    redis_url: str | None = None


class Backends(NamedTuple):
    """Addresses of the Kafka and the Redis in use."""

    bootstrap_servers: str
    redis_url: str


EMBEDDED: Final = Configured.model_construct(kafka_bootstrap_servers=None, redis_url=None)
"""Both embedded, whatever the environment says."""


async def start_backends(supervisor: Supervisor, state_dir: Path, lock: int, configured: Configured) -> Backends:
    """Start what is not configured and check what is; return the addresses.

    Raises ConfigurationError if a configured one does not answer or does not fit, NotReadyError if ours do not start.
    """
    kafka, redis = EmbeddedKafka(state_dir / "kafka", lock), EmbeddedRedis(state_dir / "redis", lock)
    children = []
    if configured.kafka_bootstrap_servers is None:
        children.append(await kafka.prepare(supervisor))
    else:
        await _check_kafka(configured.kafka_bootstrap_servers)
    if configured.redis_url is None:
        children.append(redis.prepare())
    else:
        await _check_redis(configured.redis_url)
    await supervisor.start(*children)
    return Backends(
        configured.kafka_bootstrap_servers or kafka.bootstrap_servers,
        configured.redis_url or redis.redis_url,
    )


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
