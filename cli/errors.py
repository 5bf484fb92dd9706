"""What a person is told when a command fails: one line that says what to do."""

from typing import Final

from schemas.errors import CoursestreamError

_UNREACHABLE: Final = {
    "aiokafka": "Kafka does not answer as it should",
    "redis": "Redis does not answer as it should",
    "httpx": "the API does not answer as it should",
}


def explain(error: Exception) -> str | None:
    """Return the line for an error, or None if it is a bug whose traceback should be seen.

    >>> explain(CoursestreamError("no such version: v9\\nsee `coursestream models`"))
    'no such version: v9; see `coursestream models`'
    >>> explain(KeyError("x")) is None
    True
    """
    if isinstance(error, CoursestreamError):
        return _one_line(str(error))
    said = _UNREACHABLE.get(type(error).__module__.partition(".")[0])
    if said:
        return f"{said} ({_one_line(str(error)) or type(error).__name__}): see that it runs, then try again"
    if isinstance(error, OSError):
        return _one_line(str(error))
    return None


def _one_line(message: str) -> str:
    return "; ".join(line.strip() for line in message.splitlines() if line.strip())
