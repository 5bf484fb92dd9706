"""A training that hangs is ended."""

import os
import socket
from pathlib import Path

import pytest

from trainer import train
from trainer.settings import TrainerSettings
from trainer.train import TrainingError, bootstrap_once


async def test_a_training_that_reports_no_step_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its Kafka takes the connection, and never answers."""
    monkeypatch.setattr(train, "SILENCE_S", 2.0)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        settings = TrainerSettings(kafka_bootstrap_servers=f"127.0.0.1:{mute.getsockname()[1]}")
        with pytest.raises(TrainingError, match="reported no step for 2 s and was ended"):
            await bootstrap_once(settings)
    left = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    assert not [pid for pid in left if "trainer.child" in Path(f"/proc/{pid}/cmdline").read_text()]
