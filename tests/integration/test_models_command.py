"""`coursestream models` on a real Kafka: what is listed, what may become live, and what is said where it may not."""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.follow import append_control
from cli.app import run
from deploy.embedded import EmbeddedStack, embedded
from schemas.control import ModelPromoted, ModelPublished, ModelRefused
from schemas.manifest import Comparison
from tests.integration.test_cli import answer_of
from tests.models import store_bundle

BESIDE = Comparison(against="popular", own=0.2, other=0.1, low=0.05, high=0.15, tests=400)


@pytest.fixture
def bundles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Run a stack with three published models, of which m-0 and m-1 have been live, and one refused."""
    with embedded(tmp_path / "stack", partitions=2) as stack:
        monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", stack.bootstrap_servers)
        monkeypatch.setenv("BUNDLE_URL", str(tmp_path / "bundles"))
        monkeypatch.setenv("COURSESTREAM_STATE_DIR", str(tmp_path / "state"))
        asyncio.run(_decide(stack, tmp_path))
        yield tmp_path / "bundles"


async def _decide(stack: EmbeddedStack, folder: Path) -> None:
    for seed in range(3):
        manifest = store_bundle(folder / "bundles", folder / "scratch", seed)
        published = ModelPublished(
            version=manifest.version, digest=manifest.digest, bootstrap=seed == 0,
            offsets={"learner-events": [3, 4]}, metrics={"ndcg@10": 0.2}, popular_metrics={"ndcg@10": 0.1},
            champion_metrics={"ndcg@10": 0.1}, comparisons=(BESIDE,), reason="good enough",
        )  # fmt: skip
        decisions = [published] if seed == 2 else [published, ModelPromoted(version=manifest.version)]
        await append_control(stack.bootstrap_servers, *decisions)
    refused = ModelRefused(version="m-bad", digest="d", metrics={"ndcg@10": 0.01}, reason="it is worse")
    await append_control(stack.bootstrap_servers, refused)


def _live(capsys: pytest.CaptureFixture[str]) -> str:
    return str(answer_of(capsys, "models", "list")["live"])


def _refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the one line that a command ends with; nothing may have changed."""
    before = _live(capsys)
    assert run(["models", *arguments]) == 1
    said = capsys.readouterr().err
    assert said.startswith("coursestream: ") and said.count("\n") == 1
    assert _live(capsys) == before
    return said


def test_models_are_listed_promoted_and_rolled_back(bundles: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def states() -> dict[str, str]:
        return {model["version"]: model["state"] for model in answer_of(capsys, "models", "list")["models"]}

    assert states() == {"m-0": "bootstrap", "m-1": "live", "m-2": "published", "m-bad": "refused"}
    listed = {model["version"]: model for model in answer_of(capsys, "models", "list")["models"]}
    assert {"version", "digest", "offsets", "metrics", "state"} <= listed["m-1"].keys()
    assert listed["m-1"]["comparisons"][0]["low"] == 0.05 and listed["m-1"]["popular_metrics"] == {"ndcg@10": 0.1}
    assert listed["m-bad"]["reason"] == "it is worse"
    assert run(["models"]) == 0
    assert "m-bad" in capsys.readouterr().out

    assert answer_of(capsys, "models", "rollback")["live"] == "m-0"
    assert states()["m-0"] == "live" and states()["m-1"] == "published"
    assert "nothing to roll back to" in _refused(capsys, "rollback")
    assert answer_of(capsys, "models", "promote", "m-2", "--reason", "a test")["live"] == "m-2"
    assert states()["m-2"] == "live" and states()["m-0"] == "bootstrap"


def test_what_cannot_be_live_is_not_promoted(bundles: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no model 'm-9': see `coursestream models list`" in _refused(capsys, "promote", "m-9")
    assert "m-bad was refused, there is no bundle of it: it is worse" in _refused(capsys, "promote", "m-bad")
    whole = (bundles / "m-2" / "neumf.npz").read_bytes()
    (bundles / "m-2" / "neumf.npz").write_bytes(whole[:-1])
    assert "neumf.npz has" in _refused(capsys, "promote", "m-2")
    (bundles / "m-2" / "neumf.npz").write_bytes(whole)
    shutil.rmtree(bundles / "m-0")
    assert "bundle m-0 is not in" in _refused(capsys, "rollback")
    shutil.move(bundles / "m-2", bundles / "m-0")
    assert "is not the one that was published" in _refused(capsys, "rollback")
