"""The OpenAPI document: every reference leads somewhere, every route has an entry, the structs are its schemas."""

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from api.access import ACCESS, OPEN
from api.app import create_app
from api.settings import ApiSettings


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(ApiSettings(jwt_secret="x" * 32)).openapi()


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (one for name, one in value.items() if name == "$ref")
        yield from (found for one in value.values() for found in references(one))
    elif isinstance(value, list):
        yield from (found for one in value for found in references(one))


def test_every_reference_leads_to_a_schema(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    found = set(references(document))
    assert len(found) > 20
    assert {name.removeprefix("#/components/schemas/") for name in found} <= schemas.keys()


def test_every_route_says_who_may_call_it(document: dict[str, Any]) -> None:
    routes = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert routes == ACCESS.keys() | {("GET", path) for path in OPEN}
    for path, methods in document["paths"].items():
        assert all(("security" in one) == (path not in OPEN) for one in methods.values())


def test_bodies_are_documented_by_the_structs(document: dict[str, Any]) -> None:
    body = document["paths"]["/v1/learners/{user_id}/courses/{course_id}/rating"]["post"]["requestBody"]
    assert body["required"]
    schema = document["components"]["schemas"]["RatedBody"]
    assert body["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/RatedBody"}
    assert schema["required"] == ["value"]
    assert {"user_id", "course_id", "type"}.isdisjoint(schema["properties"])
    jsonschema.validate({"value": 4, "review": "good"}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"review": "good"}, schema)


def test_an_event_may_lack_what_ingest_fills_in(document: dict[str, Any]) -> None:
    schema = {"$ref": "#/components/schemas/EventBatch", "components": document["components"]}
    event = {"type": "enrolled", "user_id": "u", "course_id": "c"}
    jsonschema.validate({"events": [event]}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"events": [{**event, "user_id": ""}]}, schema)
