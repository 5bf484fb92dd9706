"""The OpenAPI document: bodies from the structs that decode and encode them, so there is one definition."""

from typing import Any, Final

import msgspec
from fastapi import FastAPI

from api import answers as bodies
from api.sheet import SheetGrade
from schemas.courses import Course
from schemas.events import AnyEvent

Schema = dict[str, Any]
Responses = dict[int | str, Schema]

_REF: Final = "#/components/schemas/"
_PROBLEMS: Final = {
    401: "No valid token.",
    403: "The token does not allow this.",
    429: "Too many requests of this caller; repeat the request after `Retry-After` seconds.",
    422: "The request is wrong; the problem names the field.",
    503: "A part of the system does not answer; repeat the request after `Retry-After` seconds.",
}
_ANSWERS: Final = (
    bodies.Accepted,
    bodies.CourseAnswer,
    bodies.CourseList,
    bodies.Dashboard,
    bodies.EmbeddingAnswer,
    bodies.ErasureAccepted,
    bodies.ExperimentsAnswer,
    bodies.FoundCourses,
    bodies.GradesAnswer,
    bodies.Health,
    bodies.KnownLearners,
    bodies.ProblemDetails,
    bodies.QualityAnswer,
    bodies.Recommendations,
)
_SHORT_FORMS: Final = ("Enrolled", "Dropped", "Progressed", "Rated", "Feedback")
_FILLED: Final = ("event_id", "occurred_at")
"""Fields of an event that ingest fills in."""


def _reference(name: str) -> Schema:
    return {"$ref": _REF + name}


def answers(
    body: type[msgspec.Struct],
    description: str,
    status: int = 200,
    public: bool = False,
    media_type: str = "application/json",
) -> Responses:
    """Return the documentation of a route's responses."""
    shown: Responses = {
        status: {"description": description, "content": {media_type: {"schema": _reference(body.__name__)}}}
    }
    problem = {"application/problem+json": {"schema": _reference("ProblemDetails")}}
    if not public:
        shown.update({code: {"description": text, "content": problem} for code, text in _PROBLEMS.items()})
    return shown


def json_body(*names: str, required: bool = True) -> Schema:
    """Return the documentation of a route's request body: one of these components."""
    schema = _reference(names[0]) if len(names) == 1 else {"anyOf": [_reference(name) for name in names]}
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}}


def _without(component: Schema, properties: tuple[str, ...] = (), required: tuple[str, ...] = ()) -> Schema:
    """Return a component that lacks these properties and does not require those."""
    hidden = {*properties, *required}
    return {
        **component,
        "properties": {name: one for name, one in component["properties"].items() if name not in properties},
        "required": [name for name in component.get("required", ()) if name not in hidden],
    }


def components() -> dict[str, Schema]:
    """Return every schema that routes refer to, by name."""
    (event, *_), found = msgspec.json.schema_components(
        [AnyEvent, Course, SheetGrade, *_ANSWERS], ref_template=_REF + "{name}"
    )
    named = {
        name: _without(one, required=_FILLED) if "type" in one["properties"] else one for name, one in found.items()
    }
    path = ("type", "user_id", "course_id")
    short_forms = {f"{name}Body": _without(named[name], properties=path) for name in _SHORT_FORMS}
    batch = {
        "type": "object",
        "required": ["events"],
        "properties": {"events": {"type": "array", "minItems": 1, "items": _reference("Event")}},
    }
    course = _without(named["Course"], required=("course_id",))
    sheet = {"type": "array", "items": _reference("SheetGrade")}
    bodies_of = {"Event": event, "EventBatch": batch, "CourseBody": course, "GradeSheet": sheet}
    return {**named, **short_forms, **bodies_of}


class DocumentedAPI(FastAPI):
    """An application whose OpenAPI document holds the schemas of the structs."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        if self.openapi_schema is None:
            document = super().openapi()
            parts = document.setdefault("components", {})
            parts.setdefault("schemas", {}).update(components())
            parts["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
            for path, operations in document["paths"].items():
                if path.startswith("/v1/"):
                    for operation in operations.values():
                        operation["security"] = [{"bearer": []}]
            self.openapi_schema = document
        return self.openapi_schema
