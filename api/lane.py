"""The fast lane: the plainest and most frequent request, a learner's list as it stands, answered before the framework.

A look-up by the ordinary route costs several times the CPU of what it asks of Redis, most of it in the framework. This
lane asks Redis the same one question (`lookup.lua`) and answers the same bytes, headers and status; a test sends more
than a thousand requests both ways and compares. It knows nothing but that: what `api/lane_request.py` understands, by a
caller whose token was verified lately, for a learner whose shard is whole and whose own list is long enough. Everything
else, and whatever fails here, is passed on to the ordinary route, which decides. FAST_LANE=false turns it off.

No coroutines: Redis' answer, a notice or a timer calls the next step. A task and its awaits cost more than a step.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, NamedTuple, cast

import msgspec
from fastapi import FastAPI
from starlette.types import Scope

from adapters.kafka import shard_of
from adapters.pipelined import ConnectionLostError, packed
from api.access import ACCESS, is_allowed
from api.answers import Recommendations
from api.auth import Principal
from api.lane_list import ListWriter, Own
from api.lane_request import LaneQuery, query_of, token_of, user_of
from api.lane_wait import Waiting
from api.lists import DEFAULT
from api.lookup import decode_lookup, keys_of, refused_of, state_version_of
from api.quotas import Allowance, state_of, too_many
from api.wiring import Services
from schemas.candidates import LAYOUT, Places, places_of
from schemas.experiments import arm_of
from schemas.keys import ShardKeys
from schemas.meta import Status

logger: Final = logging.getLogger(__name__)

ROUTE: Final = "/v1/learners/{user_id}/recommendations"
_ACCESS: Final = ACCESS["GET", ROUTE]
_LIVE: Final = Status.LIVE.encode()
_json: Final = msgspec.json.Encoder().encode


class LaneAnswer(NamedTuple):
    """An answer that is to be sent as it is."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


Answered = Callable[[LaneAnswer | None], None]
"""Takes the answer; None: the request is to be passed on."""


@dataclass(slots=True)
class _Asked:
    """A request that is understood, and how far it is. `doubted_at` names the doubt at the time of the look-up."""

    user_id: str
    query: LaneQuery
    shard: int
    allowance: Allowance | None
    answered: Answered
    started: float = field(default_factory=time.perf_counter)
    doubted_at: float = 0.0
    waiting: Waiting | None = None

    def answer(self, answer: LaneAnswer | None) -> None:
        """Give the answer, or the request back."""
        if self.waiting:
            self.waiting.end()
        self.answered(answer)


def _covers(asked: _Asked, found: list[Any]) -> bool:
    """Return whether what was found includes the position that is waited for."""
    return asked.query.after is None or decode_lookup(asked.shard, found).covers(asked.query.after)


class FastLane:
    """Stands in front of the application, and serves with its parts what it understands."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._desk: _Desk | None = None

    def serve(self, scope: Scope, answered: Answered) -> bool:
        """Begin to answer a request; False: it is to be passed on, and `answered` is never called."""
        user_id = user_of(scope["raw_path"]) if scope["method"] == "GET" else None
        if user_id is None:
            return False
        if self._desk is None:
            self._desk = _Desk(self._app.state.services)
        return self._desk.serve(user_id, scope, answered)


class _Desk:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._writer = ListWriter(services.shared)
        metrics = services.metrics
        self._count = metrics.requests.labels("GET", ROUTE, "200").inc
        self._observe = metrics.seconds.labels("GET", ROUTE).observe

    def serve(self, user_id: str, scope: Scope, answered: Answered) -> bool:
        query, principal = query_of(scope["query_string"]), self._principal(user_id, scope)
        if query is None or principal is None:
            return False
        allowance = self._services.quotas.take(principal)
        state_of(scope)["allowance"] = allowance
        if allowance and not allowance.granted:
            answered(self._refusal(allowance))
            return True
        shard = shard_of(user_id, self._services.control.state.partitions)
        asked = _Asked(user_id, query, shard, allowance, answered)
        state_of(scope)["started"] = asked.started
        if not self._look_up(asked):
            return False
        if query.after:
            asked.waiting = Waiting(self._services.changes, user_id, query.wait_s, lambda: self._look_again(asked))
        return True

    def _principal(self, user_id: str, scope: Scope) -> Principal | None:
        """Return the caller if he is known, and may."""
        lane, token = self._services.lane, token_of(scope)
        if lane is None or not lane.is_open or not token:
            return None
        principal = self._services.verifier.known(token)
        return principal if principal and is_allowed(_ACCESS, principal, user_id) else None

    def _refusal(self, allowance: Allowance) -> LaneAnswer:
        started, response = time.perf_counter(), too_many(allowance).response()
        self._services.metrics.count_request("GET", ROUTE, response.status_code, time.perf_counter() - started)
        return LaneAnswer(response.status_code, [*response.raw_headers, *allowance.headers], bytes(response.body))

    def _look_up(self, asked: _Asked) -> bool:
        """Ask what stands about a learner; False if that cannot be asked here."""
        services, shard = self._services, asked.shard
        if services.watch.is_closed(shard):
            return False
        asked.doubted_at = services.watch.trust.doubted_at(shard)
        names = keys_of(ShardKeys(shard, services.control.state.generation), asked.user_id)
        command = packed("EVALSHA_RO", services.learners.script_sha, len(names), *names, asked.user_id)
        assert services.lane
        try:
            services.lane.send(command, partial(self._looked_up, asked))
        except ConnectionLostError:
            return False
        return True

    def _look_again(self, asked: _Asked) -> None:
        if not self._look_up(asked):
            asked.answer(None)

    def _looked_up(self, asked: _Asked, found: Any) -> None:
        """Answer, or look again later, or pass the request on."""
        written = None
        try:
            if isinstance(found, list):  # else an error, as of a server that forgot the script
                if asked.waiting and not asked.waiting.is_over and not _covers(asked, found):
                    asked.waiting.sleep()
                    return
                written = self._answer(asked, found)
            elif isinstance(found, TimeoutError):
                self._services.watch.close(asked.shard)  # who has waited so long does not wait once more
        except Exception:
            logger.exception("the fast lane cannot answer; the ordinary route is asked")
        asked.answer(written)

    def _answer(self, asked: _Asked, found: list[Any]) -> LaneAnswer | None:
        """Return the answer, or None if the ordinary route has to find it."""
        body = self._body(asked, found)
        if body is None:
            return None
        headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]
        headers += asked.allowance.headers if asked.allowance else ()
        self._count()
        self._observe(time.perf_counter() - asked.started)
        return LaneAnswer(200, headers, body)

    def _body(self, asked: _Asked, found: list[Any]) -> bytes | None:
        experiment = None if asked.query.names_strategy else self._services.control.state.experiment
        arm = arm_of(asked.user_id, experiment) if experiment else None
        if arm and arm.strategy != DEFAULT:
            return None
        status, applied_text, listed, _, history, feedback, pending, _ = found
        if status != _LIVE or not applied_text or not listed or listed[0] != LAYOUT:
            return None
        applied, trust = int(applied_text), self._services.watch.trust
        if not trust.is_proved(asked.shard, applied, asked.doubted_at):
            return None
        if pending and any(int.from_bytes(write[:8], "big") > applied for write in pending[1::2]):
            return None
        places = places_of(listed)
        records = dict(zip(history[::2], history[1::2], strict=True))
        refused = refused_of(dict(zip(feedback[::2], feedback[1::2], strict=True))) if feedback else frozenset()
        items = self._writer.items(Own(asked.user_id, listed, places, records, refused), asked.query.limit)
        if items is None:
            return None
        given = {"experiment": experiment.record.name, "arm": arm.name} if experiment and arm else {}
        return self._around(asked, applied, places, items, given)

    def _around(self, asked: _Asked, applied: int, places: Places, items: bytes, given: Mapping[str, str]) -> bytes:
        """Return the answer that holds these items; `given`: in which experiment and arm."""
        services, version = self._services, places.version
        answer = Recommendations(
            user_id=asked.user_id,
            strategy=DEFAULT,
            items=cast(Any, msgspec.Raw(b"[%b]" % items)),
            state_version=state_version_of(asked.shard, version),
            lag=services.ends.lag(asked.shard, applied),
            degraded=False,
            **services.lists.made(version.model_epoch, places.generated_us, asked.user_id),
            **given,
        )
        services.count_list(answer)
        return _json(answer)
