"""The fast lane: the plainest and most frequent request, a learner's list as it stands, answered before the framework.

A look-up by the ordinary route costs several times the CPU of what it asks of Redis, most of it in the framework. This
lane asks Redis the same one question (`lookup.lua`) and answers the same bytes, headers and status; a test sends more
than a thousand requests both ways and compares. It knows nothing but that: a GET of recommendations with no parameter
but `limit` and `strategy=hybrid`, by a caller whose token was verified lately, for a learner whose shard is whole and
whose own list is long enough. Everything else, and whatever fails here, is passed on to the ordinary route, which
decides. FAST_LANE=false turns it off.
"""

import logging
import re
import time
from typing import Any, Final, NamedTuple

import msgspec
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from adapters.kafka import shard_of
from api.access import ACCESS, is_allowed
from api.answers import Recommendations
from api.auth import Principal
from api.lane_connection import LaneLostError, packed
from api.lane_list import ListWriter, Own
from api.lists import DEFAULT
from api.lookup import keys_of, state_version_of
from api.quotas import Allowance, state_of, too_many
from api.wiring import Services
from schemas.candidates import LAYOUT, Places, places_of
from schemas.experiments import Arm, Experiment, arm_of
from schemas.keys import ShardKeys
from schemas.meta import Status
from schemas.registers import FEEDBACK_CODES, STAMP_BYTES

logger: Final = logging.getLogger(__name__)

ROUTE: Final = "/v1/learners/{user_id}/recommendations"
_ACCESS: Final = ACCESS["GET", ROUTE]
_PATH: Final = re.compile(rb"/v1/learners/([A-Za-z0-9._~:@-]{1,255})/recommendations")
_LIMITS: Final = {b"limit=%d" % limit: limit for limit in range(1, 101)}
_DEFAULT_LIMIT: Final = 10
_HYBRID: Final = b"strategy=" + DEFAULT.encode()
_LIVE: Final = Status.LIVE.encode()
_NOT_FOR_ME: Final = FEEDBACK_CODES["not_for_me"]
_HAVE_BODY: Final = frozenset({b"content-length", b"transfer-encoding"})
_json: Final = msgspec.json.Encoder().encode


class _Query(NamedTuple):
    """What is asked for, of what is understood here."""

    limit: int = _DEFAULT_LIMIT
    names_strategy: bool = False


_QUERIES: Final[dict[bytes, _Query]] = {
    b"": _Query(),
    _HYBRID: _Query(names_strategy=True),
    **{text: _Query(limit) for text, limit in _LIMITS.items()},
    **{text + b"&" + _HYBRID: _Query(limit, True) for text, limit in _LIMITS.items()},
    **{_HYBRID + b"&" + text: _Query(limit, True) for text, limit in _LIMITS.items()},
}


class _Asked(NamedTuple):
    """A request that is understood."""

    user_id: str
    query: _Query
    principal: Principal


class _Given(NamedTuple):
    """The experiment that a learner is in and his arm, if one runs and no strategy was named."""

    experiment: Experiment | None = None
    arm: Arm | None = None


def _token(headers: list[tuple[bytes, bytes]]) -> str | None:
    """Return the bearer token of a request without a body."""
    found = None
    for name, value in headers:
        if name == b"authorization":
            if found is not None:
                return None
            found = value
        elif name in _HAVE_BODY:
            return None
    return found[7:].decode("latin-1") if found and found.startswith(b"Bearer ") else None


class FastLane:
    """Stands in front of the application."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._desk: _Desk | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (
            scope["type"] == "http"
            and scope["method"] == "GET"
            and (path := _PATH.fullmatch(scope.get("raw_path", b"")))
        ):
            if self._desk is None:
                self._desk = _Desk(self._app.state.services)
            if await self._desk.serve(path[1].decode(), scope, receive, send):
                return
        await self._app(scope, receive, send)


class _Desk:
    """Serves what it understands, with the parts of a running application."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._writer = ListWriter(services.shared)
        metrics = services.metrics
        self._count = metrics.requests.labels("GET", ROUTE, "200").inc
        self._observe = metrics.seconds.labels("GET", ROUTE).observe

    async def serve(self, user_id: str, scope: Scope, receive: Receive, send: Send) -> bool:
        """Answer a request, or return False: it is to be passed on."""
        asked = self._understood(user_id, scope)
        if asked is None:
            return False
        started, state = time.perf_counter(), state_of(scope)
        state["allowance"] = allowance = self._services.quotas.take(asked.principal)
        if allowance and not allowance.granted:
            await self._refuse(allowance, scope, receive, send)
            return True
        body = await self._body(asked)
        if body is None:
            state["started"] = started
            return False
        headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]
        headers += allowance.headers if allowance else ()
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        self._count()
        self._observe(time.perf_counter() - started)
        return True

    def _understood(self, user_id: str, scope: Scope) -> _Asked | None:
        query = _QUERIES.get(scope["query_string"])
        lane = self._services.lane
        if query is None or lane is None or not lane.is_open:
            return None
        token = _token(scope["headers"])
        principal = self._services.verifier.known(token) if token else None
        if principal is None or not is_allowed(_ACCESS, principal, user_id):
            return None
        return _Asked(user_id, query, principal)

    async def _refuse(self, allowance: Allowance, scope: Scope, receive: Receive, send: Send) -> None:
        started, response = time.perf_counter(), too_many(allowance).response()
        response.raw_headers.extend(allowance.headers)
        await response(scope, receive, send)
        self._services.metrics.count_request("GET", ROUTE, response.status_code, time.perf_counter() - started)

    def _given(self, asked: _Asked) -> _Given | None:
        """Return the learner's part in an experiment; None if his arm has another strategy."""
        experiment = None if asked.query.names_strategy else self._services.control.state.experiment
        if experiment is None:
            return _Given()
        arm = arm_of(asked.user_id, experiment)
        return _Given(experiment, arm) if arm.strategy == DEFAULT else None

    async def _body(self, asked: _Asked) -> bytes | None:
        """Return the answer, or None if the ordinary route has to find it."""
        given = self._given(asked)
        state, services = self._services.control.state, self._services
        keys = ShardKeys(shard_of(asked.user_id, state.partitions), state.generation)
        if given is None or services.watch.is_closed(keys.shard):
            return None
        doubted_at = services.watch.trust.doubted_at(keys.shard)
        found = await self._look_up(keys, asked.user_id)
        if found is None:
            return None
        try:
            return self._written(asked, given, keys.shard, found, doubted_at)
        except Exception:
            logger.exception("the fast lane cannot answer; the ordinary route is asked")
            return None

    async def _look_up(self, keys: ShardKeys, user_id: str) -> list[Any] | None:
        """Return what stands about a learner, as `lookup.lua` answers it; None if that cannot be had here."""
        names = keys_of(keys, user_id)
        command = packed("EVALSHA_RO", self._services.learners.script_sha, len(names), *names, user_id)
        lane = self._services.lane
        assert lane
        try:
            found = await lane.ask(command)
        except TimeoutError:
            self._services.watch.close(keys.shard)  # who has waited so long does not wait once more
            return None
        except LaneLostError:
            return None
        return found if isinstance(found, list) else None  # else an error, as of a server that forgot the script

    def _written(self, asked: _Asked, given: _Given, shard: int, found: list[Any], doubted_at: float) -> bytes | None:
        status, applied_text, listed, _, history, feedback, pending, _ = found
        if status != _LIVE or not applied_text or not listed or listed[0] != LAYOUT:
            return None
        applied = int(applied_text)
        if not self._services.watch.trust.is_proved(shard, applied, doubted_at):
            return None
        if any(int.from_bytes(write[:8], "big") > applied for write in pending[1::2]):
            return None
        places = places_of(listed)
        records = dict(zip(history[::2], history[1::2], strict=True))
        pairs = zip(feedback[::2], feedback[1::2], strict=True)
        refused = {course for course, register in pairs if register[STAMP_BYTES] == _NOT_FOR_ME}
        items = self._writer.items(Own(asked.user_id, listed, places, records, refused), asked.query.limit)
        return None if items is None else self._around(asked, given, shard, applied, places, items)

    def _around(self, asked: _Asked, given: _Given, shard: int, applied: int, places: Places, items: bytes) -> bytes:
        """Return the answer that holds these items."""
        services, (experiment, arm) = self._services, given
        answer = Recommendations(
            user_id=asked.user_id,
            strategy=DEFAULT,
            experiment=experiment.record.name if experiment else None,
            arm=arm.name if arm else None,
            items=(),
            state_version=state_version_of(shard, places.version),
            lag=services.ends.lag(shard, applied),
            degraded=False,
            **services.lists.made(places.version.model_epoch, places.generated_us, asked.user_id),
        )
        services.count_list(answer)
        head, empty, tail = _json(answer).partition(b'"items":[')
        return b"".join((head, empty, items, tail))
