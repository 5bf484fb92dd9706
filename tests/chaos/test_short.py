"""A short run of the chaos harness: six faults in a whole system under traffic. `make chaos` runs the long ones."""

import json
from pathlib import Path

import pytest

from tests.chaos.run import Options, Run

FAULTS = ("worker killed", "redis killed", "kafka killed", "api killed", "redis emptied", "redis out of memory")


@pytest.mark.timeout(900)
async def test_nothing_is_lost_doubled_or_wrong_through_six_faults(tmp_path: Path) -> None:
    options = Options(tmp_path, kills=6, seed=3, learners=500, pause_s=0.5, names=FAULTS, trains=False, truncates=False)
    report = await Run(options).go()
    assert report.holds, json.dumps(report.answer(), indent=2)
    assert {one.name for one in report.happened} == set(FAULTS)
    assert all(one.proof for one in report.happened)
    assert report.verdict.acked > 300
    assert report.figures.answers > 50
