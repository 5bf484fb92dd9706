"""The settings with which `up` starts the roles are settings that the roles read."""

import os
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from api.settings import ApiSettings
from deploy.backends import Backends
from deploy.roles import System, api, roles, trainer, worker
from stream.settings import StreamSettings
from trainer.settings import TrainerSettings

_READ_BY_LIBRARIES = {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"}
_READ_BY_COMMANDS = {"COURSESTREAM_STATE_DIR"}


@pytest.fixture
def system(tmp_path: Path) -> System:
    """A system of two workers."""
    return System(tmp_path, Backends("127.0.0.1:20001", "redis://127.0.0.1:20002/0"), "00" * 32, (20003, 20004), 2)


@pytest.mark.parametrize(
    ("role", "settings"), [("api", ApiSettings), ("worker", StreamSettings), ("trainer", TrainerSettings)]
)
def test_every_setting_is_read(system: System, role: str, settings: type[BaseSettings]) -> None:
    child = {"api": api(system, 1), "worker": worker(system, 1), "trainer": trainer(system)}[role]
    known = {name.upper() for name in settings.model_fields} | _READ_BY_LIBRARIES | _READ_BY_COMMANDS
    assert set(child.environment) <= known


def test_every_worker_has_a_name_and_a_readiness_file_of_its_own(system: System) -> None:
    workers = [child for child in roles(system) if child.name.startswith("worker-")]
    assert [child.environment["WORKER_ID"] for child in workers] == ["worker-1", "worker-2"]
    assert len({child.environment["READY_FILE"] for child in workers}) == 2


async def test_the_roles_are_alive_while_they_touch_their_file(system: System) -> None:
    for child in roles(system):
        if child.name.startswith("api-"):
            assert not await child.alive(), "nobody answers"
            continue
        path = Path(child.environment["READY_FILE"])
        assert not await child.alive()
        for moment in (1, 2):
            path.touch()
            os.utime(path, (moment, moment))
            assert await child.alive() and not await child.alive()


async def test_a_readiness_file_from_before_is_not_believed(system: System) -> None:
    child = worker(system, 1)
    Path(child.environment["READY_FILE"]).touch()
    child.prepare()
    assert not await child.ready()
