"""A client of the API that finds it again after a restart, and calls every failure of the way the same."""

from typing import Any, Final

import httpx

from tests.chaos.stack import Stack

TIMEOUT_S: Final = 15.0


class UnavailableError(Exception):
    """No answer, or one that says to come again: nothing is known of the request."""


class ApiClient:
    """Asks the API; not for use by several tasks while its address changes."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._client: httpx.AsyncClient | None = None

    async def aclose(self) -> None:
        """Close the connections."""
        if self._client:
            client, self._client = self._client, None
            await client.aclose()

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Return an answer's JSON. Raises UnavailableError; AssertionError for an answer that accuses the caller."""
        client = self._client or self._open()
        try:
            answer = await client.request(method, path, json=body)
        except (httpx.TransportError, RuntimeError) as error:  # RuntimeError: another task has closed the client
            await self.aclose()
            raise UnavailableError(repr(error)) from None
        if answer.status_code >= 500 or answer.status_code == 429:
            raise UnavailableError(f"{answer.status_code} {answer.text[:200]}")
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json()

    def _open(self) -> httpx.AsyncClient:
        url = self._stack.ready().get("api_url")
        if not url:
            raise UnavailableError("nothing serves")
        self._client = httpx.AsyncClient(
            base_url=url, headers=self._stack.headers(), timeout=TIMEOUT_S, trust_env=False
        )
        return self._client
