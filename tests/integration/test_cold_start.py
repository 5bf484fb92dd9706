"""Newcomers on the whole path: a word, a click or an interest goes in by HTTP, and the list read by HTTP has turned."""

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest

from adapters.kafka import open_producer
from deploy.embedded import embedded
from schemas.courses import Course, encode_course
from schemas.topics import COURSES
from tests.api_server import running_api, until
from tests.integration.workers import PARTITIONS, System, connected
from tests.waiting import until as wait_for
from trainer.bootstrap import make_bootstrap
from trainer.settings import TrainerSettings

SUBJECTS: Final = {
    "law": ("contract law and the court", "statutes, judges, evidence, appeal, liability"),
    "cooking": ("cooking soups and bread", "kitchen, oven, spices, dough, roasting"),
    "painting": ("watercolour painting", "brush, canvas, pigment, portrait, landscape"),
    "astronomy": ("planets and the telescope", "galaxy, orbit, star, comet, eclipse"),
}
WORKERS: Final = ("w1", "w2")
PER_SUBJECT: Final = 12
CATALOGUE: Final = [
    Course(
        course_id=f"{subject}-{number}",
        title=f"{title}, part {number}",
        description=description,
        category=subject.title(),
        language="en" if number % 3 else "de",
        level="beginner",
    )
    for subject, (title, description) in SUBJECTS.items()
    for number in range(PER_SUBJECT)
]
LANGUAGE_OF: Final = {course.course_id: course.language for course in CATALOGUE}
_numbers: Final = itertools.count()


async def _furnish(system: System) -> None:
    """Publish the catalogue and let the trainer's bootstrap go live."""
    async with open_producer(system.stack.bootstrap_servers) as producer:
        for course in CATALOGUE:
            await producer.send(COURSES, encode_course(course), key=course.course_id.encode())
        await producer.flush()
    settings = TrainerSettings(**system.connections.model_dump())
    assert (await make_bootstrap(settings, seed=1)).published

    async def joined() -> bool:
        return all(system.is_ready(worker_id) for worker_id in WORKERS)

    await wait_for(joined, "both workers in their group", 120)
    async with connected(system) as (client, _):
        await system.caught_up(client)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Run two workers and the API over a catalogue of four subjects, of which cooking is the popular one."""
    folder = tmp_path_factory.mktemp("cold-start")
    with embedded(folder / "state", partitions=PARTITIONS) as stack:
        system = System(stack, folder)
        try:
            for worker_id in WORKERS:
                system.start(worker_id)
            asyncio.run(_furnish(system))
            with running_api(stack.bootstrap_servers, stack.redis_url) as client:
                for number in range(PER_SUBJECT):
                    enrol(client, f"cook{number}", f"cooking-{number}")
                until(lambda: subjects(popular(client), 5) == ["cooking"] * 5)
                yield client
        finally:
            system.end_all()


@pytest.fixture
def newcomer() -> str:
    """Return a learner nobody has heard of."""
    return f"newcomer{next(_numbers)}"


def popular(api: httpx.Client) -> dict[str, Any]:
    found: dict[str, Any] = api.get("/v1/courses/popular").json()
    return found


def publish(api: httpx.Client, user_id: str, **event: Any) -> str:
    answer = api.post("/v1/events", json={"user_id": user_id, **event})
    assert answer.status_code == 202, answer.text
    position: str = answer.json()["position"]
    return position


def enrol(api: httpx.Client, user_id: str, course_id: str) -> str:
    return publish(api, user_id, type="enrolled", course_id=course_id)


def read(api: httpx.Client, user_id: str, after: str = "", **query: Any) -> dict[str, Any]:
    """Return a learner's list, without the place that is left to chance."""
    asked = {"explore": "false", **query} | ({"after": after, "wait_ms": 5_000} if after else {})
    answer = api.get(f"/v1/learners/{user_id}/recommendations", params=asked)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    assert not found["degraded"]
    return found


def ids(found: dict[str, Any]) -> list[str]:
    return [item["course_id"] for item in found["items"]]


def titles(found: dict[str, Any]) -> list[str]:
    return [item["title"] for item in found["items"]]


def subjects(found: dict[str, Any], first: int = 10) -> list[str]:
    return [course_id.partition("-")[0] for course_id in ids(found)[:first]]


def reasons(found: dict[str, Any], subject: str = "") -> set[tuple[str, str | None]]:
    """Return kind and cause of the reasons of a subject's courses."""
    items = [item for item in found["items"] if item["course_id"].startswith(subject)]
    return {(reason["kind"], reason["course_id"]) for item in items for reason in item["reasons"]}


@pytest.mark.parametrize(
    ("said", "topic", "kind"),
    [
        ({"type": "profile_updated", "interests": ["court"]}, "learner-events", "interests"),
        (
            {"type": "profile_updated", "goals": ["work with judges"], "level": "beginner"},
            "learner-events",
            "interests",
        ),
        ({"type": "searched", "query": "LAW"}, "activity", "interests"),
        ({"type": "clicked", "course_id": "law-7"}, "activity", "content"),
        ({"type": "viewed", "course_id": "law-7"}, "activity", "content"),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else value,
)
def test_one_word_or_click_turns_a_newcomers_list(
    api: httpx.Client, newcomer: str, said: dict[str, Any], topic: str, kind: str
) -> None:
    before = read(api, newcomer)
    assert subjects(before, 5) == ["cooking"] * 5
    assert all(item["topped_up"] for item in before["items"])
    position = publish(api, newcomer, **said)
    assert position.startswith(topic)
    after = read(api, newcomer, position)
    assert position in after["state_version"]
    assert subjects(after).count("law") >= 6 and subjects(before).count("law") == 0
    assert reasons(after, "law") == {(kind, None)}
    assert not any(item["topped_up"] for item in after["items"])


def test_newcomers_who_only_name_a_language_get_what_is_popular_in_it(api: httpx.Client) -> None:
    def holds() -> bool:
        users = [f"newcomer{next(_numbers)}" for _ in range(2 * PARTITIONS)]  # of both workers: each counts by itself
        positions = [publish(api, user, type="profile_updated", languages=["de"]) for user in users]
        lists = [read(api, user, position) for user, position in zip(users, positions, strict=True)]
        assert {LANGUAGE_OF[course_id] for found in lists for course_id in ids(found)} == {"de"}
        return all(subjects(found, PER_SUBJECT // 3) == ["cooking"] * (PER_SUBJECT // 3) for found in lists)

    until(holds)
    assert {LANGUAGE_OF[course_id] for course_id in ids(read(api, "nobody", language="de"))} == {"de"}


def test_each_further_word_turns_the_list_again(api: httpx.Client, newcomer: str) -> None:
    for subject, query in (("law", "court"), ("painting", "watercolour"), ("astronomy", "telescope galaxy comet")):
        found = read(api, newcomer, publish(api, newcomer, type="searched", query=query))
        assert subject in subjects(found)


def test_the_first_enrolment_is_named_and_not_after_it_was_dropped(api: httpx.Client, newcomer: str) -> None:
    found = read(api, newcomer, enrol(api, newcomer, "painting-1"))
    assert subjects(found).count("painting") >= 6
    assert reasons(found, "painting") == {("content", "painting-1")}
    for item in found["items"]:
        assert all(bool(reason["event_ids"]) == bool(reason["course_id"]) for reason in item["reasons"])
    position = publish(api, newcomer, type="dropped", course_id="painting-1")
    for after in ("", position):
        found = read(api, newcomer, after)
        assert "painting-1" not in ids(found)
        assert "painting-1" not in {cause for _, cause in reasons(found)}


def test_a_new_course_reaches_those_whose_taste_it_is(api: httpx.Client) -> None:
    taken = {
        taste: [enrol(api, taste, f"{taste}-{number}") for number in (1, 2, 4)][-1] for taste in ("law", "astronomy")
    }
    for taste, position in taken.items():
        assert subjects(read(api, taste, position), 5) == [taste] * 5
    body = {"title": "Evidence before the court: contract law on appeal", "description": "judges, statutes"}
    assert api.put("/v1/courses/brand-new", json={**body, "language": "en"}).status_code == 202
    until(lambda: body["title"] in titles(read(api, "law")))
    listed = {item["course_id"]: item for item in read(api, "law")["items"]}
    assert listed["brand-new"]["reasons"][0]["kind"] in ("content", "new")
    until(lambda: "brand-new" in ids(read(api, "astronomy", limit=100)))  # swept as well
    assert "brand-new" not in ids(read(api, "astronomy"))


def test_prerequisites_open_when_they_are_completed(api: httpx.Client, newcomer: str) -> None:
    body = {"title": "Law of contract, advanced court practice", "prerequisites": ["law-1"], "language": "en"}
    assert api.put("/v1/courses/advanced-law", json=body).status_code == 202
    position = publish(api, newcomer, type="searched", query="advanced court practice")
    until(lambda: body["title"] in titles(read(api, newcomer, position)))
    assert "advanced-law" not in ids(read(api, newcomer, prerequisites="met"))
    enrol(api, newcomer, "law-1")
    assert "advanced-law" not in ids(read(api, newcomer, prerequisites="met"))
    publish(api, newcomer, type="completed", course_id="law-1")
    assert "advanced-law" in ids(read(api, newcomer, prerequisites="met", limit=100))
