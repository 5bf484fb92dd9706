"""An API client that goes on through restarts and refusals for now, as an app that publishes events would."""

import asyncio
from typing import Any, Final, Self

import httpx

from cli.api import refusal

_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 3.0
_FOR_NOW: Final = frozenset({408, 429, 502, 503, 504})
"""408: a body that came too late, since this machine stood still while it was sent."""


class PatientApi:
    """Asks until there is an answer; `retries` counts how often that took another attempt."""

    def __init__(self, api_url: str, token: str, timeout_s: float = 10.0) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        self._client = httpx.AsyncClient(base_url=api_url, headers=headers, timeout=timeout_s, trust_env=False)
        self.retries = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def get(self, path: str, **query: str | int) -> dict[str, Any]:
        """Return what a GET answers."""
        return await self.ask("GET", path, params=query)

    async def ask(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        """Return the JSON object of the answer; what is refused for good raises CoursestreamError."""
        pause_s = _FIRST_PAUSE_S
        while True:
            response = await self._attempt(method, path, request)
            if response is not None and response.status_code not in _FOR_NOW:
                break
            self.retries += 1
            await asyncio.sleep(max(pause_s, _wanted_pause_s(response)))
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        if not response.is_success:
            raise refusal(response)
        answer: dict[str, Any] = response.json()
        return answer

    async def _attempt(self, method: str, path: str, request: dict[str, Any]) -> httpx.Response | None:
        try:
            return await self._client.request(method, path, **request)
        except httpx.TransportError:
            return None


def _wanted_pause_s(response: httpx.Response | None) -> float:
    """Return the seconds of `Retry-After`, 0 without, at most `_LONGEST_PAUSE_S`."""
    said = response.headers.get("Retry-After", "") if response is not None else ""
    return min(float(said), _LONGEST_PAUSE_S) if said.isdigit() else 0.0
