"""The snapshot of the log against a real Kafka: read by tails, it is the log; what does not fit is thrown away."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from adapters.follow import append_control
from adapters.kafka import open_producer
from adapters.topics import ensure_topics
from deploy.embedded import embedded
from schemas.control import RecordQuarantined
from schemas.events import Erased
from schemas.topics import LEARNER_EVENTS
from tests.integration.test_trainer import PARTITIONS, publish
from tests.unit.trainer.campus import START_S, checkerboard, courses, enrolled
from trainer import kept_log, snapshot
from trainer.kept_log import Reading, read_kept_log
from trainer.log import Log, read_log
from trainer.settings import TrainerSettings
from trainer.snapshot import INDEX, Index, Row


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainerSettings]:
    """Run one Kafka; each test has a snapshot of its own."""
    with embedded(tmp_path_factory.mktemp("state"), partitions=PARTITIONS) as running:
        yield TrainerSettings(kafka_bootstrap_servers=running.bootstrap_servers)


async def _read(settings: TrainerSettings, folder: Path) -> Log:
    """Read with the snapshot; the log must be what Kafka alone says."""
    servers = settings.kafka_bootstrap_servers
    kept, whole = await read_kept_log(servers, folder), await read_log(servers)
    assert (kept.digest, kept.offsets, kept.dead_letters) == (whole.digest, whole.offsets, whole.dead_letters)
    assert kept.events == whole.events
    return kept


def _index(folder: Path) -> Index:
    return msgspec.json.decode((folder / INDEX).read_bytes(), type=Index)


def _values(folder: Path) -> bytes:
    return b"\n".join(row.value for row in snapshot.load(folder)[1])


async def test_a_log_read_by_tails_is_the_log_read_whole(
    settings: TrainerSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []
    take = Reading.take_kept

    def counted(reading: Reading, rows: Sequence[Row]) -> None:
        taken.append(len(rows))
        take(reading, rows)

    monkeypatch.setattr(Reading, "take_kept", counted)
    events = checkerboard(learners=60)
    await publish(settings, events[:300], courses())
    first = await _read(settings, tmp_path)
    await publish(settings, [*events[300:], *events[:50]], courses(45))
    async with open_producer(settings.kafka_bootstrap_servers) as producer:
        await producer.send_and_wait(LEARNER_EVENTS, b"no event", key=b"u", partition=0)
    second = await _read(settings, tmp_path)
    assert len(first.events) < len(second.events)
    assert second.dead_letters == first.dead_letters + 1
    assert taken == [0, len(first.events)], "the second reading did not begin with the snapshot"
    assert len(_index(tmp_path).parts) == 2
    assert _index(tmp_path).digest == second.digest
    before = (tmp_path / INDEX).stat().st_mtime_ns
    await _read(settings, tmp_path)
    assert (tmp_path / INDEX).stat().st_mtime_ns == before


async def test_many_parts_become_one(
    settings: TrainerSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_log, "MOST_PARTS", 2)
    numbers = []
    for i in range(4):
        await publish(settings, [enrolled(f"part{i}", "c00", i)])
        await _read(settings, tmp_path)
        numbers.append(len(_index(tmp_path).parts))
    assert numbers == [1, 2, 1, 2]


async def test_what_is_erased_or_quarantined_leaves_the_files(settings: TrainerSettings, tmp_path: Path) -> None:
    await publish(
        settings, [enrolled("gone", "c-secret", 0), enrolled("gone", "c-other", 5), enrolled("stays", "c", 0)]
    )
    await _read(settings, tmp_path)
    assert b"c-secret" in _values(tmp_path) and b"stays" in _values(tmp_path)
    await publish(settings, [Erased(event_id="e", user_id="gone", occurred_at=START_S)])
    await _read(settings, tmp_path)
    assert b"c-secret" not in _values(tmp_path) and b"c-other" not in _values(tmp_path)
    await publish(settings, [enrolled("gone", "c-late", 7)])
    await _read(settings, tmp_path)
    assert b"c-late" not in _values(tmp_path) and b"stays" in _values(tmp_path)

    (bad,) = (row for row in snapshot.load(tmp_path)[1] if b'"stays"' in row.value)
    place = RecordQuarantined(topic=LEARNER_EVENTS, partition=bad.partition, offset=bad.offset, reason="a test")
    await append_control(settings.kafka_bootstrap_servers, place)
    assert "stays" not in {event.user_id for event in (await _read(settings, tmp_path)).events}
    assert b"stays" not in _values(tmp_path)
    await _read(settings, tmp_path)


async def _change(folder: Path, damage: str) -> None:
    index, path = _index(folder), folder / INDEX
    match damage:
        case "corrupt part":
            part = folder / index.parts[0].name
            part.write_bytes(part.read_bytes()[:-20])
        case "other log, same length":
            marks = {shard: msgspec.structs.replace(mark, appended_ms=1) for shard, mark in index.marks.items()}
            path.write_bytes(msgspec.json.encode(msgspec.structs.replace(index, marks=marks)))
        case "longer than the log":
            path.write_bytes(msgspec.json.encode(msgspec.structs.replace(index, ends=[n + 1 for n in index.ends])))
        case "other beginning":
            path.write_bytes(msgspec.json.encode(msgspec.structs.replace(index, begins=[n + 1 for n in index.begins])))
        case _:
            path.write_bytes(path.read_bytes()[:-3])


@pytest.mark.parametrize(
    "damage", ["corrupt part", "other log, same length", "longer than the log", "other beginning", "corrupt index"]
)
async def test_a_snapshot_that_does_not_fit_is_made_again(
    settings: TrainerSettings, tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    await publish(settings, [enrolled("fits", "c00", 0)])
    await _read(settings, tmp_path)
    before = _index(tmp_path)
    await _change(tmp_path, damage)
    with caplog.at_level(logging.WARNING):
        await _read(settings, tmp_path)
    assert "thrown away" in caplog.text
    again = _index(tmp_path)
    assert (again.begins, again.ends, again.marks) == (before.begins, before.ends, before.marks)
    assert again.digest == before.digest and len(again.parts) == 1


async def test_a_log_that_was_made_anew_is_read_anew(
    settings: TrainerSettings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with embedded(tmp_path / "state", partitions=PARTITIONS) as other:
        own = TrainerSettings(kafka_bootstrap_servers=other.bootstrap_servers)
        events = [enrolled("anew", f"c{i}", i) for i in range(5)]
        await publish(own, events)
        await _read(own, tmp_path / "kept")
        admin = AIOKafkaAdminClient(bootstrap_servers=own.kafka_bootstrap_servers)
        await admin.start()
        await admin.delete_topics([LEARNER_EVENTS])
        await admin.close()
        await ensure_topics(own.kafka_bootstrap_servers, PARTITIONS)
        await publish(own, [enrolled("anew", f"d{i}", i) for i in range(5)])
        with caplog.at_level(logging.WARNING):
            log = await _read(own, tmp_path / "kept")
        assert "has another record at offset 4" in caplog.text
        assert {getattr(event, "course_id", "") for event in log.events} == {f"d{i}" for i in range(5)}


async def test_without_a_folder_to_write_to_all_comes_from_kafka(settings: TrainerSettings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    await _read(settings, tmp_path / "file")
    with snapshot.owned(tmp_path / "busy"):
        await _read(settings, tmp_path / "busy")
    assert not (tmp_path / "busy" / INDEX).exists()
