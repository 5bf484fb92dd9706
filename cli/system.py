"""How a command finds a running system: the environment first, then what `up` left in the state directory."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from cli.tokens import sign
from schemas.errors import ConfigurationError, NotReadyError
from schemas.settings import Connections, load

READY: Final = "ready.json"
SECRET: Final = "secret"


@dataclass(frozen=True)
class System:
    """A running system, as far as it is known. What is missing is said when it is asked for."""

    state_dir: Path
    ready: dict[str, Any]

    @property
    def kafka(self) -> str:
        """Kafka's brokers."""
        servers = self._address("KAFKA_BOOTSTRAP_SERVERS", "kafka")
        return load(Connections, kafka_bootstrap_servers=servers).kafka_bootstrap_servers

    @property
    def redis_url(self) -> str:
        """The Redis server."""
        return self._address("REDIS_URL", "redis_url")

    @property
    def api_url(self) -> str:
        """The API, without a slash at the end."""
        url = self._address("COURSESTREAM_API_URL", "api_url").rstrip("/")
        if not _is_http(url):
            raise ConfigurationError(f"COURSESTREAM_API_URL is no URL: {url!r}; write it as in http://127.0.0.1:8000")
        return url

    def addresses(self, redis: bool = True) -> dict[str, Any]:
        """Return this system's addresses as settings; without `redis`, Redis may be unknown."""
        bundles = os.environ.get("BUNDLE_URL") or str(self.state_dir.absolute() / "bundles")
        cache = os.environ.get("BUNDLE_CACHE") or str(self.state_dir.absolute() / "bundle-cache")
        addresses: dict[str, Any] = {
            "kafka_bootstrap_servers": self.kafka,
            "bundle_url": bundles,
            "bundle_cache": cache,
        }
        if not redis:
            return addresses
        if not os.environ.get("REDIS_URL"):  # what stands in the environment about another Redis is not about ours
            addresses["redis_cluster"] = self.ready.get("redis_cluster", False)
        return {**addresses, "redis_url": self.redis_url}

    def connections(self, redis: bool = True) -> Connections:
        """Return how this system is connected to."""
        return load(Connections, **self.addresses(redis))

    def token(self, scope: str) -> str:
        """Return COURSESTREAM_TOKEN, or a development token with these scopes."""
        return os.environ.get("COURSESTREAM_TOKEN") or sign(self.secret(), "coursestream-cli", scope, 300)

    def secret(self) -> str:
        """Return what signs development tokens: JWT_SECRET, or the secret of the state directory."""
        path = self.state_dir / SECRET
        if given := os.environ.get("JWT_SECRET"):
            return given
        if not path.is_file():
            raise NotReadyError(
                f"there is no secret in {self.state_dir}: start a system with `coursestream up`, "
                "name its directory with --state-dir, or set JWT_SECRET"
            )
        return path.read_text().strip()

    def _address(self, variable: str, key: str) -> str:
        address = os.environ.get(variable) or self.ready.get(key)
        if not address:
            raise NotReadyError(
                f"no system runs in {self.state_dir}: start one with `coursestream up`, "
                f"name its directory with --state-dir, or set {variable}"
            )
        return str(address)


def _is_http(url: str) -> bool:
    """Whether a URL has a scheme, a host and, if any, a port that is one."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def find(state_dir: Path) -> System:
    """Return the system of a state directory."""
    path = state_dir / READY
    try:
        ready = json.loads(path.read_text()) if path.is_file() else {}
    except ValueError as error:
        raise ConfigurationError(f"{path} cannot be read ({error}): stop the system and start it again") from None
    return System(state_dir, ready)
