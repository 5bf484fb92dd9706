"""What the fast lane understands of a request; None wherever the ordinary route has to say what is meant."""

import re
from typing import Final, NamedTuple

from starlette.types import Scope

from api.lists import DEFAULT
from api.parameters import DEFAULT_LIMIT, DEFAULT_WAIT_MS, MAX_WAIT_MS, MOST_ITEMS
from schemas.topics import Position

_PATH: Final = re.compile(rb"/v1/learners/([A-Za-z0-9._~:@-]{1,255})/recommendations")
_AFTER: Final = re.compile(
    rb"(?:(.+)&)?after=((?:learner-events|activity):[0-9]{1,9}:[0-9]{1,18})(?:&wait_ms=(0|[1-9][0-9]{0,5}))?"
)
_LIMITS: Final = {b"limit=%d" % limit: limit for limit in range(1, MOST_ITEMS + 1)}
_HYBRID: Final = b"strategy=" + DEFAULT.encode()
_LENGTHS: Final = frozenset({b"content-length", b"transfer-encoding"})


class LaneQuery(NamedTuple):
    """What is asked for. `wait_s`: how long to wait until the list covers `after`."""

    limit: int = DEFAULT_LIMIT
    names_strategy: bool = False
    after: Position | None = None
    wait_s: float = 0.0


_QUERIES: Final[dict[bytes, LaneQuery]] = {
    b"": LaneQuery(),
    _HYBRID: LaneQuery(names_strategy=True),
    **{text: LaneQuery(limit) for text, limit in _LIMITS.items()},
    **{text + b"&" + _HYBRID: LaneQuery(limit, True) for text, limit in _LIMITS.items()},
    **{_HYBRID + b"&" + text: LaneQuery(limit, True) for text, limit in _LIMITS.items()},
}


def user_of(path: bytes) -> str | None:
    """Return whose recommendations a path names.

    >>> user_of(b"/v1/learners/u1/recommendations")
    'u1'
    """
    found = _PATH.fullmatch(path)
    return found[1].decode() if found else None


def query_of(text: bytes) -> LaneQuery | None:
    """Return what a query asks for.

    >>> query_of(b"limit=3&after=learner-events:3:17&wait_ms=200")
    LaneQuery(limit=3, names_strategy=False, after=Position(topic='learner-events', partition=3, offset=17), wait_s=0.2)
    """
    query = _QUERIES.get(text)
    if query or not (found := _AFTER.fullmatch(text)):
        return query
    query = _QUERIES.get(found[1] or b"")
    wait_ms = int(found[3] or DEFAULT_WAIT_MS)
    return query and query._replace(after=Position.parse(found[2].decode()), wait_s=min(wait_ms, MAX_WAIT_MS) / 1_000)


def token_of(scope: Scope) -> str | None:
    """Return the bearer token of a request without a body."""
    found = None
    for name, value in scope["headers"]:
        if name == b"authorization":
            if found is not None:
                return None
            found = value
        elif name in _LENGTHS and value != b"0":
            return None
    return found[7:].decode("latin-1") if found and found.startswith(b"Bearer ") else None
