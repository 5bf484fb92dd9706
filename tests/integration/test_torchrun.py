"""`torchrun ... coursestream train`: two processes train a model of a real log; one of them reads and publishes."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from adapters.bundles import BundleStore
from deploy.embedded import embedded
from recommender.bundle import verify
from tests.integration.test_trainer import publish
from tests.unit.trainer.campus import checkerboard, courses
from trainer.settings import TrainerSettings

pytestmark = pytest.mark.timeout(1_200)


def test_two_processes_publish_one_model(tmp_path: Path) -> None:
    with embedded(tmp_path / "state", partitions=4) as stack:
        settings = TrainerSettings(kafka_bootstrap_servers=stack.bootstrap_servers)
        asyncio.run(publish(settings, checkerboard(), courses()))
        own = {
            "KAFKA_BOOTSTRAP_SERVERS": stack.bootstrap_servers, "BUNDLE_URL": str(tmp_path / "bundles"),
            "SNAPSHOT_DIR": str(tmp_path / "snapshots"), "TRAIN_DIMENSIONS": "8", "TRAIN_EPOCHS": "4",
            "GLOO_SOCKET_IFNAME": "lo",
        }  # fmt: skip
        torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
        command = (*torchrun, "-m", "cli.app", "train", "--seed", "3", "--json", "-")
        done = subprocess.run(
            command, env={**os.environ, **own}, capture_output=True, text=True, timeout=900, check=False
        )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)  # one answer
    assert result["published"] and result["metrics"]["hr@10"] > result["popular_metrics"]["hr@10"]
    manifest = verify(BundleStore(str(tmp_path / "bundles")).fetch(result["version"]))
    assert (manifest.processes, manifest.seed, manifest.digest) == (2, 3, result["digest"])
