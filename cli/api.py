"""Asking a running system's API."""

from collections.abc import Mapping
from typing import Any

import httpx

from cli.system import System
from schemas.errors import ConfigurationError, CoursestreamError, NotReadyError

_TIMEOUT_S = 10.0


def get(
    system: System, path: str, query: Mapping[str, str | int] | None = None, scope: str = "reader"
) -> dict[str, Any]:
    """Return the JSON object that the API answers a GET with, or raise CoursestreamError saying why there is none."""
    headers = {"Authorization": f"Bearer {system.token(scope)}"}
    try:
        response = httpx.get(system.api_url + path, params=query, headers=headers, timeout=_TIMEOUT_S)
    except httpx.TransportError as error:
        raise NotReadyError(f"the API at {system.api_url} does not answer ({error}): see that it runs") from error
    if response.is_success:
        answer: dict[str, Any] = response.json()
        return answer
    raise refusal(response)


def refusal(response: httpx.Response) -> CoursestreamError:
    """Return the error that says what the API refused, and why."""
    try:
        detail = response.json()["detail"]
    except (ValueError, KeyError, TypeError):
        detail = response.text[:200]
    kind = NotReadyError if response.status_code >= 500 else ConfigurationError
    return kind(f"the API answered {response.status_code}: {detail}")
