"""Write the JSON Schemas and the AsyncAPI document that stand in `schemas/json`, from the contracts.

`python -m schemas.generate` writes them, `--check` only says which of them are not what it would write.
"""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import msgspec

from schemas import topics
from schemas.control import ControlRecord
from schemas.courses import Course
from schemas.events import ACTIVITY_EVENTS, EVENT_TYPES, LEARNER_EVENTS, SCHEMA_VERSION
from schemas.manifest import Manifest

FOLDER: Final = Path(__file__).parent / "json"
ASYNCAPI: Final = "asyncapi.json"

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_FORMAT: Final = "application/schema+json;version=2020-12"
_ANCHORS: Final = {r"\A": "^", r"\Z": "$"}
"""JSON Schema has the regular expressions of ECMAScript, where these are written otherwise."""

_DEAD_LETTER_HEADERS: Final = {
    "source-topic": "Topic of the original record.",
    "source-partition": "Partition of the original record, decimal.",
    "source-offset": "Offset of the original record, decimal.",
    "field": "Field that is wrong; empty: the whole record.",
    "reason": "What is wrong with it.",
}

Json = dict[str, Any]


def _portable(node: Any) -> Any:
    """Return a schema with the patterns written as JSON Schema writes them."""
    if isinstance(node, list):
        return [_portable(child) for child in node]
    if not isinstance(node, dict):
        return node
    schema = {key: _portable(child) for key, child in node.items()}
    if isinstance(schema.get("pattern"), str):
        for ours, theirs in _ANCHORS.items():
            schema["pattern"] = schema["pattern"].replace(ours, theirs)
    return schema


def _schema(contract: Any, title: str) -> Json:
    schema: Json = _portable(msgspec.json.schema(contract))
    definitions: Json = schema.pop("$defs")
    if "$ref" in schema:
        schema = definitions.pop(title)
    return {"$schema": _DIALECT, "title": title, **schema, **({"$defs": definitions} if definitions else {})}


def json_schemas() -> dict[str, Json]:
    """Return the JSON Schemas by file name: one an event type, and the course, control record and manifest."""
    schemas = {f"{name}.json": _schema(event, event.__name__) for name, event in EVENT_TYPES.items()}
    schemas["course.json"] = _schema(Course, "Course")
    schemas["control.json"] = _schema(ControlRecord, "ControlRecord")
    schemas["manifest.json"] = _schema(Manifest, "Manifest")
    return schemas


def _message(name: str, key: str, summary: str) -> Json:
    message: Json = {
        "name": name,
        "contentType": "application/json",
        "summary": summary,
        "payload": {
            "schemaFormat": _FORMAT,
            "schema": {"$ref": f"./{name}.json"},
        },
    }
    if key:
        message["bindings"] = {"kafka": {"key": {"type": "string", "description": key}}}
    return message


def _messages() -> dict[str, Json]:
    messages = {name: _message(name, "user_id", _summary(event)) for name, event in EVENT_TYPES.items()}
    messages["course"] = _message("course", "course_id", _summary(Course))
    messages["control"] = _message("control", "", "A decision that changes what is live.")
    headers = {name: {"type": "string", "description": text} for name, text in _DEAD_LETTER_HEADERS.items()}
    messages["dead-letter"] = {
        "name": "dead-letter",
        "contentType": "application/octet-stream",
        "summary": "The original bytes and key of a record that is no event.",
        "headers": {"type": "object", "properties": headers, "required": list(headers)},
    }
    return messages


def _summary(contract: type) -> str:
    return (contract.__doc__ or "").partition("\n")[0]


def _channel(topic: topics.Topic, messages: Iterable[str], description: str) -> Json:
    settings = topic.settings()
    configuration: Json = {"cleanup.policy": settings["cleanup.policy"].split(",")}
    if "retention.ms" in settings:
        configuration["retention.ms"] = int(settings["retention.ms"])
    configuration["max.message.bytes"] = int(settings["max.message.bytes"])
    kafka: Json = {"topic": topic.name, "topicConfiguration": configuration}
    if topic.partitions:
        kafka["partitions"] = topic.partitions
    return {
        "address": topic.name,
        "description": description,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {"kafka": kafka},
    }


def asyncapi() -> Json:
    """Return the AsyncAPI 3.0 document of the topics."""
    contents: dict[str, tuple[Iterable[str], str]] = {
        topics.LEARNER_EVENTS: (_names(LEARNER_EVENTS), "What learners did; the partition is the shard."),
        topics.ACTIVITY: (_names(ACTIVITY_EVENTS), "Weak, plentiful signals; partitioned as learner-events."),
        topics.COURSES: (("course",), "The catalogue: the last record of a course counts."),
        topics.CONTROL: (("control",), "Every decision that changes what is live; its offset is the epoch."),
        topics.DEAD_LETTERS: (("dead-letter",), "Records that are no events."),
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "coursestream",
            "version": str(SCHEMA_VERSION),
            "description": "The log of an event-driven course recommender. Values are JSON; times are the broker's.",
        },
        "defaultContentType": "application/json",
        "channels": {topic.name: _channel(topic, *contents[topic.name]) for topic in topics.TOPICS},
        "operations": _operations(),
        "components": {"messages": _messages()},
    }


def _names(events: tuple[type, ...]) -> list[str]:
    return [name for name, event in EVENT_TYPES.items() if event in events]


def _operations() -> Json:
    """Return what coursestream reads from outside, and what it writes for others."""
    actions = {
        topics.LEARNER_EVENTS: "receive",
        topics.ACTIVITY: "receive",
        topics.COURSES: "receive",
        topics.CONTROL: "send",
        topics.DEAD_LETTERS: "send",
    }
    return {
        f"{action}-{name}": {"action": action, "channel": {"$ref": f"#/channels/{name}"}}
        for name, action in actions.items()
    }


def documents() -> dict[str, str]:
    """Return the text of every file by name: sorted keys, two blanks of indent, a newline at the end."""
    contents = {**json_schemas(), ASYNCAPI: asyncapi()}
    return {name: json.dumps(content, indent=2, sort_keys=True) + "\n" for name, content in contents.items()}


def stale(folder: Path = FOLDER) -> list[str]:
    """Return the names of files that are missing, superfluous or not what would be written."""
    wanted = documents()
    there = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.json")}
    return sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))


def write(folder: Path = FOLDER) -> list[str]:
    """Write every file that is stale, remove those of types that are no more, and return their names."""
    wanted, names = documents(), stale(folder)
    folder.mkdir(exist_ok=True)
    for name in names:
        if name in wanted:
            (folder / name).write_text(wanted[name], encoding="utf-8")
        else:
            (folder / name).unlink()
    return names


def main(arguments: list[str]) -> int:
    """Run the command line; 1 if `--check` finds a stale file."""
    if arguments not in ([], ["--check"]):
        print("usage: python -m schemas.generate [--check]", file=sys.stderr)
        return 2
    names = stale() if arguments else write()
    for name in names:
        print(f"{'stale' if arguments else 'written'}: {name}")
    return int(bool(arguments and names))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
