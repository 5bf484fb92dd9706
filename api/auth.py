"""Who calls: verified bearer tokens, HS256 by a secret or asymmetric by the issuer's key set."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import jwt

from api.problems import UNAUTHENTICATED, ProblemError, unavailable
from api.settings import ApiSettings

CACHE_S: Final = 60.0
"""Claims of a token are kept so long, and never past its expiry."""

_MAX_CACHED: Final = 10_000
_ASYMMETRIC: Final = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]


@dataclass(frozen=True)
class Principal:
    """A caller: the token's subject and scopes, and until when it is valid, in seconds since 1970."""

    subject: str
    scopes: frozenset[str]
    expires_at: float

    def may(self, *scopes: str) -> bool:
        """Whether the caller has one of these scopes."""
        return not self.scopes.isdisjoint(scopes)

    def is_learner(self, user_id: str) -> bool:
        """Whether the caller is this learner."""
        return "learner" in self.scopes and self.subject == user_id


def unauthenticated(detail: str) -> ProblemError:
    """Return the problem of a caller who is not known."""
    return ProblemError(401, detail, kind=UNAUTHENTICATED, headers={"WWW-Authenticate": "Bearer"})


def bearer_token(authorization: str | None) -> str:
    """Return the token of an `Authorization` header, or raise the 401 problem."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise unauthenticated("send a token: Authorization: Bearer TOKEN")
    return token.strip()


class Verifier:
    """Verifies tokens and remembers their claims for a short while."""

    def __init__(self, settings: ApiSettings, clock: Callable[[], float] = time.time) -> None:
        self._secret = settings.jwt_secret.get_secret_value() if settings.jwt_secret else ""
        self._keys = jwt.PyJWKClient(settings.jwks_url, cache_keys=True, timeout=5) if settings.jwks_url else None
        self._issuer, self._audience = settings.jwt_issuer or None, settings.jwt_audience or None
        self._clock = clock
        self._known: dict[str, tuple[Principal, float]] = {}

    async def principal(self, token: str) -> Principal:
        """Return the caller a token stands for, or raise the 401 problem."""
        if known := self.known(token):
            return known
        claims = await self._claims(token)
        principal = Principal(claims["sub"], frozenset(str(claims.get("scope", "")).split()), claims["exp"])
        if len(self._known) >= _MAX_CACHED:
            self._known.clear()
        self._known[token] = principal, min(self._clock() + CACHE_S, principal.expires_at)
        return principal

    def known(self, token: str) -> Principal | None:
        """Return the caller a token stands for, if that was found out lately."""
        known = self._known.get(token)
        return known[0] if known and self._clock() < known[1] else None

    async def _claims(self, token: str) -> dict[str, Any]:
        try:
            if self._keys is None:
                return self._decode(token, self._secret, ["HS256"])
            key = await asyncio.to_thread(self._keys.get_signing_key_from_jwt, token)
            return self._decode(token, key, _ASYMMETRIC)
        except jwt.PyJWKClientConnectionError:
            raise unavailable("the token's key set cannot be read; try again") from None
        except (jwt.PyJWTError, ValueError, OverflowError) as error:
            raise unauthenticated(f"the token is not valid: {error}") from None

    def _decode(self, token: str, key: Any, algorithms: list[str]) -> dict[str, Any]:
        options: Any = {"require": ["exp", "sub"], "verify_aud": self._audience is not None}
        claims = jwt.decode(
            token, key, algorithms=algorithms, audience=self._audience, issuer=self._issuer, options=options
        )
        return {**claims, "exp": float(claims["exp"])}
