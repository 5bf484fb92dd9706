"""What a worker is told."""

from pathlib import Path
from typing import Final

from pydantic import Field

from schemas.settings import Connections

CANDIDATES: Final = 96
"""About 100; with ids of five characters a list of 96 and its causes just fill one 1,792-byte allocation of Redis."""


class StreamSettings(Connections):
    """Settings of a worker. It owns shards; the number of workers is at most the number of shards."""

    worker_id: str = Field(
        default="worker-1", description="Unique name of this worker's slot: a restart under it keeps its shards."
    )
    ready_file: Path | None = Field(default=None, description="Written once the worker has joined its group.")
    candidates: int = Field(default=CANDIDATES, ge=1, le=250, description="Length of a learner's candidate list.")
    refresh_batch: int = Field(default=64, ge=4, description="Learners whose lists are computed at once.")
    fast_drain: bool = Field(
        default=True, description="Take what has come at once; false: as Faust itself gathers batches."
    )
    shared_interval_s: float = Field(default=5.0, gt=0, description="Seconds between sums of the shared lists.")
    catalogue_interval_s: float = Field(
        default=3.0, gt=0, description="Least seconds between two takings-in of a changed catalogue."
    )
    check_interval_s: float = Field(default=2.0, gt=0, description="Seconds between checks of idle shards.")
    stall_s: float = Field(default=30.0, gt=0, description="Seconds of lag without progress that end the worker.")
    metrics_port: int = Field(default=0, ge=0, description="Port of the worker's Prometheus metrics; 0: none.")
