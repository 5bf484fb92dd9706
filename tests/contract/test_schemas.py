"""The checked-in schemas are what the contracts say, and what was once written is still read."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from schemas import generate, topics
from schemas.activity import pack_moment, pack_searches
from schemas.candidates import Candidate, CandidateList, Source, Version, pack_candidates, unpack_candidates
from schemas.cards import Card, pack_card, unpack_card
from schemas.control import ControlState, decode_control, encode_control
from schemas.courses import decode_course, encode_course
from schemas.embedding import pack_embedding, unpack_embedding
from schemas.events import EVENT_TYPES, SCHEMA_VERSION, decode_event, encode_event
from schemas.meta import Header, pack_header, unpack_header
from schemas.pending import Pending, pack_pending, unpack_pending
from schemas.registers import Rank, join_record, pack_fraction, pack_score, pack_stamp, pack_text, split_record

GOLDEN = Path(__file__).parents[1] / "golden"
EVENTS = sorted((GOLDEN / "events").glob("*.json"))
CONTROL = sorted((GOLDEN / "control").glob("*.json"))
US = 1_709_285_400_000_000
EVENT_ID = "00000000-0000-4000-8000-0000000000ff"
Json = dict[str, Any]


def stem(path: Path) -> str:
    return path.name.removesuffix(".json")


def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads((generate.FOLDER / f"{name}.json").read_text(encoding="utf-8")))


def test_the_checked_in_files_are_what_the_generator_writes() -> None:
    assert generate.stale() == [], "run python -m schemas.generate"


def test_the_generator_notices_and_mends_what_is_stale(tmp_path: Path) -> None:
    assert len(generate.write(tmp_path)) == len(generate.documents())
    assert generate.stale(tmp_path) == []
    (tmp_path / "rated.json").write_text("{}", encoding="utf-8")
    (tmp_path / "abandoned.json").write_text("{}", encoding="utf-8")
    (tmp_path / "course.json").unlink()
    assert generate.stale(tmp_path) == ["abandoned.json", "course.json", "rated.json"]
    generate.write(tmp_path)
    assert generate.stale(tmp_path) == []


@pytest.mark.parametrize("name", [*EVENT_TYPES, "course", "control", "manifest"])
def test_every_schema_is_a_json_schema(name: str) -> None:
    Draft202012Validator.check_schema(validator(name).schema)


def test_every_type_and_version_has_a_golden_event() -> None:
    there = {tuple(stem(path).split(".")[:2]) for path in EVENTS}
    wanted = {(name, f"v{version}") for name in EVENT_TYPES for version in range(1, SCHEMA_VERSION + 1)}
    assert wanted <= there


@pytest.mark.parametrize("path", EVENTS, ids=stem)
def test_golden_events_validate_and_still_mean_what_they_meant(path: Path) -> None:
    raw = path.read_bytes()
    validator(stem(path).split(".")[0]).validate(json.loads(raw))
    event = decode_event(raw)
    fields = {**json.loads(encode_event(event)), "occurred_us": event.occurred_us}
    expected = json.loads((GOLDEN / "expected" / path.name).read_bytes())
    assert {name: fields.get(name) for name in expected} == expected
    assert decode_event(encode_event(event)) == event
    validator(event.type_name).validate(json.loads(encode_event(event)))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("progressed", {"value": 1.7}),
        ("progressed", {"value": None}),
        ("rated", {"course_id": ""}),
        ("rated", {"course_id": "a\x00b"}),
        ("rated", {"user_id": "u" * 10_000}),
        ("enrolled", {"schema_version": SCHEMA_VERSION + 1}),
        ("enrolled", {"type": "unknown"}),
        ("enrolled", {"occurred_at": -1}),
        ("feedback", {"value": "meh"}),
        ("searched", {"query": ""}),
    ],
)
def test_the_schemas_refuse_what_the_decoder_refuses(name: str, change: Json) -> None:
    good = json.loads((GOLDEN / "events" / f"{name}.v1.json").read_bytes())
    assert validator(name).is_valid(good)
    assert not validator(name).is_valid({**good, **change})


@pytest.mark.parametrize("name", sorted(EVENT_TYPES))
def test_the_schemas_require_what_the_decoder_requires(name: str) -> None:
    good = json.loads((GOLDEN / "events" / f"{name}.v1.json").read_bytes())
    optional = {"schema_version", "scale", "review", "interests", "goals", "languages", "level"}
    for field in good.keys() - optional:
        assert not validator(name).is_valid({key: value for key, value in good.items() if key != field}), field


def test_golden_control_records_add_up_to_what_was_live() -> None:
    state = ControlState()
    for offset, path in enumerate(CONTROL):
        raw = path.read_bytes()
        validator("control").validate(json.loads(raw))
        assert decode_control(encode_control(decode_control(raw))) == decode_control(raw)
        state = state.apply(raw, offset, appended_ms=1_709_285_400_000 + offset)
    assert {json.loads(path.read_bytes())["kind"] for path in CONTROL} == {
        kind["properties"]["kind"]["enum"][0]
        for kind in generate.json_schemas()["control.json"]["$defs"].values()
        if "kind" in kind["properties"]
    }
    assert (state.partitions, state.generation, state.generation_offset, state.unknown) == (16, 1, 6, 0)
    assert (state.model_version, state.model_epoch) == ("20240301-093000-bootstrap", 5)
    assert [model.promoted for model in state.models.values()] == [True, True]
    assert state.quarantined == {("learner-events", 3, 17)}


def test_the_golden_course_validates_and_survives() -> None:
    raw = (GOLDEN / "course.json").read_bytes()
    validator("course").validate(json.loads(raw))
    course = decode_course(raw)
    assert decode_course(encode_course(course)) == course
    assert json.loads(encode_course(course)) == json.loads(raw)


def references(node: object) -> list[str]:
    if isinstance(node, list):
        return [found for child in node for found in references(child)]
    if not isinstance(node, dict):
        return []
    own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
    return own + [found for child in node.values() for found in references(child)]


def test_asyncapi_describes_every_topic_and_every_reference_leads_somewhere() -> None:
    document: Json = json.loads((generate.FOLDER / generate.ASYNCAPI).read_text(encoding="utf-8"))
    assert document["asyncapi"] == "3.0.0"
    assert document["channels"].keys() == {topic.name for topic in topics.TOPICS}
    carried = {name for channel in document["channels"].values() for name in channel["messages"]}
    assert carried == document["components"]["messages"].keys() == {*EVENT_TYPES, "course", "control", "dead-letter"}
    for reference in references(document):
        if reference.startswith("./"):
            assert (generate.FOLDER / reference).is_file(), reference
        else:
            node: Any = document
            for step in reference.removeprefix("#/").split("/"):
                node = node[step]


def record() -> bytes:
    values = {
        Rank.DROPPED: b"",
        Rank.PROGRESSED: pack_fraction(0.4),
        Rank.COMPLETED: b"",
        Rank.RATED: pack_score(4.5, 1, 5),
        Rank.REVIEWED: pack_text("très bien".encode()),
        Rank.GRADED: pack_score(75.8, 0, 100),
    }
    registers = [pack_stamp(US + i, rank, EVENT_ID) + value for i, (rank, value) in enumerate(values.items())]
    return join_record(b"", {1: registers[0], **{register[7] & 15: register for register in registers[1:]}})


def profile() -> bytes:
    ranks = (Rank.FEEDBACK, Rank.INTERESTS, Rank.GOALS, Rank.LANGUAGES, Rank.LEVEL)
    values = (b"\x01", pack_text(b'["sql"]'), pack_text(b"[]"), pack_text(b'["en"]'), pack_text(b'"beginner"'))
    return b"".join(pack_stamp(US, rank, "order 17") + value for rank, value in zip(ranks, values, strict=True))


CANDIDATES = CandidateList(
    version=Version(model_epoch=7, catalogue_epoch=3, learner_offset=40, activity_offset=-1),
    generated_us=US,
    causes=("sql-101", "курс 7"),
    candidates=(
        Candidate("py-1", 1.5, (1.0, 0.0, 0.5, 0.25, 0.0), Source.COLLABORATIVE, 0),
        Candidate("étude", 0.5, (0.0, 1.0, 0.5, 0.0, 0.0), Source.INTERESTS, 1),
        Candidate("new", -0.25, (0.0, 0.0, 0.5, 0.0, 0.0), Source.NEW, None),
    ),
)
CARD = Card("sql-101", "SQL", category="Data", level="beginner", price=0.0, prerequisites=("py-1",), retired=True)

PACKED: dict[str, Callable[[], bytes]] = {
    "record": record,
    "profile": profile,
    "header": lambda: pack_header(Header(5, -1, US, 3)),
    "pending": lambda: pack_pending(Pending(17, Rank.DROPPED)),
    "candidates": lambda: pack_candidates(CANDIDATES),
    "candidates-empty": lambda: pack_candidates(CandidateList(Version(-1, -1, -1, -1), 0, (), ())),
    "embedding": lambda: pack_embedding(7, [0.5, -2.0, 0.0, 65504.0]),
    "card": lambda: pack_card(CARD),
    "moment": lambda: pack_moment(US),
    "searches": lambda: pack_searches([(US, "sql"), (US + 1, "fenêtre")]),
}


@pytest.mark.parametrize("name", sorted(PACKED))
def test_packed_values_keep_their_bytes(name: str) -> None:
    golden = bytes.fromhex((GOLDEN / "packed" / f"{name}.hex").read_text(encoding="ascii"))
    assert PACKED[name]().hex() == golden.hex(), "the layout changed: state of this version could not be read"


def test_golden_bytes_mean_what_they_meant() -> None:
    packed = {name: bytes.fromhex((GOLDEN / "packed" / f"{name}.hex").read_text(encoding="ascii")) for name in PACKED}
    assert unpack_header(packed["header"]) == Header(5, -1, US, 3)
    assert unpack_pending(packed["pending"]) == Pending(17, Rank.DROPPED)
    assert unpack_embedding(packed["embedding"]) == (7, (0.5, -2.0, 0.0, 65504.0))
    assert unpack_card(packed["card"]) == CARD
    assert list(split_record(packed["record"])) == [1, 3, 4, 5, 6, 7]
    assert list(split_record(packed["profile"])) == [8, 9, 10, 11, 12]
    found = unpack_candidates(packed["candidates"])
    assert found[:3] == CANDIDATES[:3]
    for row, expected in zip(found.candidates, CANDIDATES.candidates, strict=True):
        assert row[:2] + row[3:] == expected[:2] + expected[3:]
        assert row.components == pytest.approx(expected.components, abs=1 / 255)


def test_the_version_of_a_list_lies_where_the_scripts_read_it() -> None:
    packed = pack_candidates(CANDIDATES)
    assert struct.unpack_from(">QQQQ", packed, 1) == (8, 4, 41, 0)
