"""Settings that more than one process reads. Each process has one frozen class built on `Connections`."""

from pathlib import Path
from typing import Final

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

BUNDLE_CACHE: Final = Path(".coursestream/bundle-cache")


class Connections(BaseSettings):
    """Where Kafka, Redis and the model bundles are. Read from the environment, names in capitals."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    kafka_bootstrap_servers: str = Field(
        default="127.0.0.1:9092", description="Kafka brokers, HOST:PORT, comma-separated."
    )
    redis_url: str = Field(
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
