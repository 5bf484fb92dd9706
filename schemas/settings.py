"""Settings that more than one process reads. Each process has one frozen class built on `Connections`."""

import re
from ipaddress import IPv6Address
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import urlparse

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from schemas.errors import ConfigurationError

BUNDLE_CACHE: Final = Path(".coursestream/bundle-cache")

S = TypeVar("S", bound=BaseSettings)

_BROKER: Final = re.compile(r"(?:\[[^][\s]+\]|[^][\s:/]+)(?::(\d{1,5}))?", re.ASCII)
_LAST_PORT: Final = 65_535


def _brokers(servers: str) -> str:
    """Return brokers as they are; ValueError if the client could not read one of them.

    >>> _brokers("kafka-1, [::1]:9092,::1")
    'kafka-1, [::1]:9092,::1'
    """
    for server in filter(None, map(str.strip, servers.split(","))):
        found = _BROKER.fullmatch(server)
        if not (_is_ipv6(server) or (found and int(found[1] or 0) <= _LAST_PORT)):
            raise ValueError(f"brokers are HOST:PORT, comma-separated, which {server} is not")
    return servers


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


def _redis_url(url: str) -> str:
    """Return a URL as it is; ValueError if the client could not read it."""
    parsed = urlparse(url)
    if parsed.scheme not in ("redis", "rediss", "unix"):
        raise ValueError("the URL of a Redis server begins with redis://, rediss:// or unix://")
    try:
        _ = parsed.scheme == "unix" or parsed.port
    except ValueError:
        raise ValueError("the port is no number up to 65535 (the / of a password is written %2F)") from None
    return url


Brokers = Annotated[str, AfterValidator(_brokers)]
RedisUrl = Annotated[str, AfterValidator(_redis_url)]


class Connections(BaseSettings):
    """Where Kafka, Redis and the model bundles are. Read from the environment, names in capitals; empty is unset."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True)

    kafka_bootstrap_servers: Brokers = Field(
        default="127.0.0.1:9092", description="Kafka brokers, HOST:PORT, comma-separated."
    )
    redis_url: RedisUrl = Field(
        default="redis://127.0.0.1:6379/0",
        description="Redis server, or one node of a cluster: redis://, rediss:// or unix://.",
    )
    redis_cluster: bool = Field(default=False, description="Whether `REDIS_URL` is a node of a Redis Cluster.")
    bundle_url: str = Field(
        default=".coursestream/bundles",
        description="Where the model bundles are: a folder, or an object store such as s3://bucket/prefix.",
    )
    bundle_cache: Path = Field(
        default=BUNDLE_CACHE, description="Folder that bundles of an object store are copied into before they are read."
    )
    log_level: str = Field(default="info", description="Least level logged: debug, info, warning, error.")


def load(settings: type[S], **given: Any) -> S:
    """Return the settings; ConfigurationError with one line that says which value is wrong, without its password."""
    try:
        return settings(**given)
    except SettingsError as error:
        raise ConfigurationError(f"{error}: lists are written as JSON, [0.0,0.8,1.0]") from None
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        name, said = ".".join(map(str, wrong["loc"])), wrong["msg"].removeprefix("Value error, ")
        value = re.sub(r"//.*@", "//...@", repr(wrong["input"]))
        raise ConfigurationError(f"setting {name} ({name.upper()}): {said}, got {value}") from None
