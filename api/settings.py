"""What the API is told."""

from typing import Self

from pydantic import Field, SecretStr, model_validator

from schemas.events import MAX_EVENT_BYTES
from schemas.settings import Connections

MIN_SECRET_BYTES = 32
"""RFC 7518, 3.2: an HS256 key is at least as long as the hash."""


class ApiSettings(Connections):
    """Settings of the API. It starts only if it can verify tokens: by a secret (HS256) or by an issuer's key set."""

    api_host: str = Field(default="127.0.0.1", description="Address the API listens on.")
    api_port: int = Field(default=8000, ge=0, le=65_535, description="Port the API listens on.")
    jwt_secret: SecretStr | None = Field(default=None, description="HS256 secret of the tokens, 32 bytes or more.")
    jwks_url: str = Field(default="", description="Key set of the tokens' issuer, in place of a secret.")
    jwt_issuer: str = Field(default="", description="Issuer that tokens must name; empty: any.")
    jwt_audience: str = Field(default="", description="Audience that tokens must name; empty: any.")
    max_body_bytes: int = Field(default=1_000_000, ge=1, description="Largest request body; above it: 413.")
    max_ingest_bytes: int = Field(
        default=8_000_000,
        ge=1,
        description="Most bytes of bodies under way at once, a request counting at least 8,192; above it: 503.",
    )
    ingest_timeout_s: float = Field(
        default=5.0, gt=0, description="Seconds until Kafka and Redis must have taken an event; above it: 503."
    )
    read_timeout_s: float = Field(
        default=1.0, gt=0, description="Seconds a look-up waits for Redis before it degrades."
    )
    max_streams: int = Field(
        default=1_000, ge=1, description="Most open streams of changes, half of them of one caller; above it: 503."
    )
    fast_lane: bool = Field(
        default=True,
        description="Whether plain look-ups, and events, take the fast lane; with a Redis Cluster look-ups do not.",
    )
    learner_quota: int = Field(
        default=1_000,
        ge=0,
        description="Requests that a learner may send at once to one API process; above it: 429. 0: any number.",
    )
    service_quota: int = Field(
        default=200_000, ge=0, description="The same of a caller with other scopes than `learner`. 0: any number."
    )
    quota_window_s: float = Field(
        default=10.0, ge=1, description="Seconds in which a quota that was used up comes back, evenly."
    )
    shared_poll_s: float = Field(
        default=1.0, gt=0, description="Seconds between reads of the shared lists and of the log's ends."
    )

    @model_validator(mode="after")
    def _can_verify(self) -> Self:
        secret = self.jwt_secret.get_secret_value() if self.jwt_secret else ""
        if bool(secret) == bool(self.jwks_url):
            raise ValueError("set either JWT_SECRET or JWKS_URL: without one of them no token can be verified")
        if secret and len(secret.encode()) < MIN_SECRET_BYTES:
            raise ValueError(f"JWT_SECRET is shorter than {MIN_SECRET_BYTES} bytes")
        return self

    @model_validator(mode="after")
    def _largest_body_fits(self) -> Self:
        if self.max_ingest_bytes < 2 * max(self.max_body_bytes, MAX_EVENT_BYTES):
            least = 2 * max(self.max_body_bytes, MAX_EVENT_BYTES)
            raise ValueError(
                f"MAX_INGEST_BYTES must be at least {least}: a caller may hold half, so no larger body is taken"
            )
        return self
