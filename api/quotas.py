"""How much a caller may ask of this process: a token bucket a principal, told in every answer by RateLimit headers.

The headers are those of draft-ietf-httpapi-ratelimit-headers-11. Own code, since `limits` has windows but no bucket
that fills evenly, and takes 4 to 8 us a request, more than a tenth of a whole look-up.
"""

import math
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.auth import Principal
from api.problems import ProblemError
from api.settings import ApiSettings

QUOTA_EXCEEDED: Final = "/problems/quota-exceeded"
_LEARNER: Final = frozenset({"learner"})
_FIRST_SWEEP: Final = 10_000
_ROUNDING_S: Final = 1e-6


class Allowance(NamedTuple):
    """What a caller has left. `full_in_s`: until the whole quota is there again."""

    granted: bool
    remaining: int
    full_in_s: int
    retry_after_s: int
    headers: list[tuple[bytes, bytes]]


class Quota:
    """Buckets of so many requests, each full again after `window_s`; as a meter of when each will be full (GCRA)."""

    def __init__(self, name: str, requests: int, window_s: float, clock: Callable[[], float]) -> None:
        self._each_s, self._window_s, self._clock = window_s / requests, window_s, clock
        self._policy = b"ratelimit-policy", b'"%b";q=%d;w=%d' % (name.encode(), requests, math.ceil(window_s))
        self._left = b'"%b";r=%%d;t=%%d' % name.encode()
        self._full_at: dict[str, float] = {}
        self._sweep_at = _FIRST_SWEEP

    def take(self, subject: str) -> Allowance:
        """Take one request of a caller's bucket, if one is left."""
        now = self._clock()
        full_in_s = max(self._full_at.get(subject, now) - now, 0.0) + self._each_s
        over_s = full_in_s - self._window_s
        if granted := over_s <= _ROUNDING_S:
            self._full_at[subject] = now + full_in_s
        else:
            full_in_s -= self._each_s
        if len(self._full_at) > self._sweep_at:
            self._sweep(now)
        remaining = int((self._window_s - full_in_s + _ROUNDING_S) / self._each_s)
        seconds = math.ceil(full_in_s - _ROUNDING_S)
        headers = [self._policy, (b"ratelimit", self._left % (remaining, seconds))]
        return Allowance(granted, remaining, seconds, 0 if granted else math.ceil(over_s - _ROUNDING_S), headers)

    def _sweep(self, now: float) -> None:
        """Forget full buckets, so that what is remembered is no more than who came lately."""
        self._full_at = {subject: full_at for subject, full_at in self._full_at.items() if full_at > now}
        self._sweep_at = max(_FIRST_SWEEP, 2 * len(self._full_at))


class Quotas:
    """The quotas of learners, who are many, and of services, which ask for many."""

    def __init__(self, settings: ApiSettings, clock: Callable[[], float] = time.monotonic) -> None:
        def quota(name: str, requests: int) -> Quota | None:
            return Quota(name, requests, settings.quota_window_s, clock) if requests else None

        self._learners = quota("learner", settings.learner_quota)
        self._services = quota("service", settings.service_quota)

    def take(self, principal: Principal) -> Allowance | None:
        """Take one request of a caller; None where there is no limit."""
        quota = self._learners if principal.scopes == _LEARNER else self._services
        return quota.take(principal.subject) if quota else None


def too_many(allowance: Allowance) -> ProblemError:
    """Return the problem of a caller who has no request left."""
    detail = f"too many requests; the next one in {allowance.retry_after_s} s"
    headers = {"Retry-After": str(allowance.retry_after_s)}
    return ProblemError(429, detail, kind=QUOTA_EXCEEDED, headers=headers)


def state_of(scope: Scope) -> dict[str, Any]:
    """Return what is noted of a request on its way."""
    state: dict[str, Any] = scope.setdefault("state", {})
    return state


def waited_s(scope: Scope) -> float:
    """Return how long ago a request came that the fast lane has passed on; 0 of another."""
    now = time.perf_counter()
    return now - float(state_of(scope).get("started", now))


class TellQuota:
    """Says in every answer to a known caller how much is left."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = state_of(scope)

        async def telling(message: Message) -> None:
            allowance = state.get("allowance")
            if message["type"] == "http.response.start" and isinstance(allowance, Allowance):
                message["headers"] = [*message.get("headers", ()), *allowance.headers]
            await send(message)

        await self._app(scope, receive, telling)
