"""The publisher on a real Kafka."""

import os
import signal
import time
from collections.abc import Iterator

import pytest

from adapters.follow import Catalogue
from adapters.kafka import end_offsets, open_reader, partitions_of, shard_of
from deploy.embedded import EmbeddedStack
from schemas.courses import Course
from schemas.errors import NotReadyError
from schemas.events import AnyEvent, Enrolled, Viewed, decode_event
from schemas.topics import ACTIVITY, LEARNER_EVENTS
from stream import publisher as publisher_module
from stream.publisher import Publisher, open_publisher, publish_courses, publish_events


def events_of(prefix: str, count: int) -> list[AnyEvent]:
    """Return enrolments, every third event a view."""
    kinds = (Enrolled, Enrolled, Viewed)
    return [
        kinds[i % 3](event_id=f"{prefix}-{i}", user_id=f"{prefix}-{i % 50}", course_id=f"c{i % 7}", occurred_at=i)
        for i in range(count)
    ]


async def read_all(servers: str, topic: str, prefix: str) -> dict[str, list[AnyEvent]]:
    """Return the events of learners with a prefix, each learner's in the order of the log."""
    found: dict[str, list[AnyEvent]] = {}
    async with open_reader(servers) as reader:
        places = await partitions_of(reader, topic)
        ends = await end_offsets(reader, topic)
        reader.assign(places)
        await reader.seek_to_beginning(*places)
        while any([await reader.position(place) < ends[place] for place in places]):
            for place, records in (await reader.getmany(timeout_ms=500)).items():
                for record in records:
                    event = decode_event(record.value or b"")
                    if event.user_id.startswith(prefix):
                        assert (record.key or b"").decode() == event.user_id
                        assert shard_of(event.user_id, len(places)) == place.partition
                        found.setdefault(event.user_id, []).append(event)
    return found


async def test_every_event_arrives_once_in_order_in_its_topic(
    stack: EmbeddedStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "MAX_IN_FLIGHT", 300)
    sent, steps = events_of("all", 2_000), list[int]()
    async with open_publisher(stack.bootstrap_servers) as producer:
        assert await publish_events(producer, sent, progress=steps.append) == len(sent)
    assert sum(steps) == len(sent)
    assert len(steps) > 5
    for topic, kind in ((LEARNER_EVENTS, Enrolled), (ACTIVITY, Viewed)):
        expected: dict[str, list[AnyEvent]] = {}
        for event in sent:
            if isinstance(event, kind):
                expected.setdefault(event.user_id, []).append(event)
        assert await read_all(stack.bootstrap_servers, topic, "all-") == expected


async def test_a_rate_is_kept(stack: EmbeddedStack) -> None:
    async with open_publisher(stack.bootstrap_servers) as producer:
        started = time.monotonic()
        await publish_events(producer, events_of("paced", 200), rate=200)
        assert 0.9 < time.monotonic() - started < 2


async def test_courses_stand_in_the_catalogue(stack: EmbeddedStack) -> None:
    courses = [Course(course_id=f"published-{i}", title=f"Course {i}") for i in range(20)]
    async with open_publisher(stack.bootstrap_servers) as producer:
        assert await publish_courses(producer, courses) == 20
    async with Catalogue(stack.bootstrap_servers) as catalogue:
        assert [catalogue.courses[course.course_id] for course in courses] == courses


@pytest.fixture
def stopped_kafka(stack: EmbeddedStack) -> Iterator[EmbeddedStack]:
    """Stop the broker for the time of a test, as a machine that hangs; it goes on afterwards."""
    pid = stack.pids["kafka"]
    yield stack
    os.kill(pid, signal.SIGCONT)


async def test_what_kafka_does_not_acknowledge_is_an_error(
    stopped_kafka: EmbeddedStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "ANSWER_S", 1.0)
    started = time.monotonic()
    with pytest.raises(NotReadyError, match=r"did not acknowledge a record .* after 1 that it did"):
        async with open_publisher(stopped_kafka.bootstrap_servers, request_timeout_ms=2_000) as producer:
            publisher = Publisher(producer)
            await publisher.send_event(events_of("hang", 1)[0])
            await publisher.flush()
            os.kill(stopped_kafka.pids["kafka"], signal.SIGSTOP)
            for event in events_of("hang", 50):
                await publisher.send_event(event)
            await publisher.flush()
    assert time.monotonic() - started < 15
