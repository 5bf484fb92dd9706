"""Who may call what: one entry a route. A route without an entry is refused to everybody."""

from typing import Final, NamedTuple

from fastapi import Request

from api.auth import Principal, bearer_token
from api.parameters import restore_slashes
from api.problems import FORBIDDEN, ProblemError
from api.quotas import Allowance, state_of, too_many
from api.wiring import services_of


class Access(NamedTuple):
    """Scopes that may call a route; `own`: also a learner, for himself."""

    scopes: frozenset[str]
    own: bool = False


_LEARNER: Final = "/v1/learners/{user_id}"
_TAKE: Final = _LEARNER + "/courses/{course_id}/"

OPEN: Final = frozenset({"/livez", "/readyz", "/metrics"})
"""Routes that need no token, beside the pages' files (documentation and OpenAPI)."""

INGEST: Final = Access(frozenset({"publisher"}), own=True)
CATALOGUE: Final = Access(frozenset({"learner", "reader", "operator", "admin"}))
ACCESS: Final[dict[tuple[str, str], Access]] = {
    # Which events of a batch a caller may publish is decided event by event, in `api/ingest.py`.
    ("POST", "/v1/events"): Access(frozenset({"learner", "publisher", "admin"})),
    ("POST", _TAKE + "enrol"): INGEST,
    ("POST", _TAKE + "drop"): INGEST,
    ("POST", _TAKE + "progress"): INGEST,
    ("POST", _TAKE + "rating"): INGEST,
    ("POST", _TAKE + "feedback"): INGEST,
    ("GET", "/v1/learners"): Access(frozenset({"reader"})),
    ("GET", _LEARNER): Access(frozenset({"reader"}), own=True),
    ("DELETE", _LEARNER): Access(frozenset({"admin"}), own=True),
    ("GET", _LEARNER + "/recommendations"): Access(frozenset({"reader"}), own=True),
    ("GET", _LEARNER + "/changes"): Access(frozenset({"reader"}), own=True),
    ("GET", _LEARNER + "/embedding"): Access(frozenset({"reader"})),
    ("GET", "/v1/courses"): CATALOGUE,
    ("GET", "/v1/courses/popular"): CATALOGUE,
    ("GET", "/v1/courses/trending"): CATALOGUE,
    ("GET", "/v1/courses/latest"): CATALOGUE,
    ("GET", "/v1/courses/{course_id}"): CATALOGUE,
    ("GET", "/v1/courses/{course_id}/similar"): CATALOGUE,
    ("POST", "/v1/grades/recommendations"): CATALOGUE,
    ("GET", "/v1/quality"): Access(frozenset({"operator"})),
    ("GET", "/v1/experiments"): Access(frozenset({"operator"})),
    ("PUT", "/v1/courses/{course_id}"): Access(frozenset({"admin"})),
    ("DELETE", "/v1/courses/{course_id}"): Access(frozenset({"admin"})),
}


def forbidden(detail: str) -> ProblemError:
    """Return the problem of a caller who is known but may not."""
    return ProblemError(403, detail, kind=FORBIDDEN)


def is_allowed(access: Access, principal: Principal, user_id: str | None) -> bool:
    """Return whether the caller may."""
    own = access.own and user_id is not None and principal.is_learner(user_id)
    return own or not principal.scopes.isdisjoint(access.scopes)


def check_access(access: Access | None, principal: Principal, user_id: str | None) -> None:
    """Raise the 403 problem unless the caller may."""
    if access is None:
        raise forbidden("nobody may call this route")
    if not is_allowed(access, principal, user_id):
        needed = ", ".join(sorted(access.scopes | ({"learner (own data only)"} if access.own else set())))
        raise forbidden(f"the token's scopes do not allow this; needed: one of {needed}")


def _check_quota(request: Request, principal: Principal) -> None:
    """Take one of the caller's requests, unless the fast lane has; raise the 429 problem if none is left."""
    state = state_of(request.scope)
    if "allowance" not in state:
        state["allowance"] = services_of(request).quotas.take(principal)
    allowance = state["allowance"]
    if isinstance(allowance, Allowance) and not allowance.granted:
        raise too_many(allowance)


async def authorise(request: Request) -> None:
    """Let the request pass if its route is open, or its caller may and has not asked too much; before every route."""
    path = request.scope["route"].path
    if path in OPEN:
        return
    token = bearer_token(request.headers.get("authorization"))
    principal = await services_of(request).verifier.principal(token)
    _check_quota(request, principal)
    user_id = request.path_params.get("user_id")
    own_id = None if user_id is None else restore_slashes(user_id)
    check_access(ACCESS.get((request.method, path)), principal, own_id)
    request.state.principal = principal
