"""Which of the partitions that the group assigns a worker takes for its shards."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from schemas.control import ControlState
from stream.settings import StreamSettings
from stream.worker import Worker


class Owner:
    """Notes what it is to own."""

    owned: Sequence[int] = ()

    def assign(self, partitions: Sequence[int]) -> None:
        """Note it."""
        self.owned = partitions


async def test_partitions_that_were_added_later_are_left_alone_with_an_alarm(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nobody: Any = None
    worker = Worker(StreamSettings(bundle_url=str(tmp_path)), nobody, nobody)
    worker.control.state = ControlState(partitions=4)
    owner: Any = Owner()
    worker._owner = owner
    worker.assign([0, 3])
    assert owner.owned == [0, 3] and not caplog.text
    worker.assign([0, 3, 4, 7])
    assert owner.owned == [0, 3]
    assert "ALARM: partitions [4, 7] are new; the state was founded with 4" in caplog.text
