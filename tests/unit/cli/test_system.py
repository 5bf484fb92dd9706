"""How a running system is found."""

import json
from pathlib import Path

import jwt
import pytest

from cli import system as system_module
from cli.system import find
from deploy import preflight, ready
from schemas.errors import ConfigurationError, NotReadyError

SECRET = "a secret of the tests, 32 bytes or more"
READY = {"api_url": "http://127.0.0.1:1", "kafka": "127.0.0.1:2", "redis_url": "redis://127.0.0.1:3/0", "pids": {}}
OVERRIDES = {
    "KAFKA_BOOTSTRAP_SERVERS": "kafka:9092",
    "REDIS_URL": "redis://redis:6379/0",
    "COURSESTREAM_API_URL": "https://api.example/",
}


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*OVERRIDES, "COURSESTREAM_TOKEN", "JWT_SECRET", "BUNDLE_URL", "REDIS_CLUSTER"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    """Leave what a running `up` leaves."""
    (tmp_path / "ready.json").write_text(json.dumps(READY))
    (tmp_path / "secret").write_text(SECRET)
    return tmp_path


def test_the_names_are_those_that_up_writes() -> None:
    assert (ready.READY, preflight.SECRET) == (system_module.READY, system_module.SECRET)


def test_a_system_is_found_by_its_state_directory(state_dir: Path) -> None:
    found = find(state_dir)
    assert (found.kafka, found.redis_url, found.api_url) == (READY["kafka"], READY["redis_url"], READY["api_url"])
    assert found.connections().bundle_url == str(state_dir / "bundles")


def test_the_environment_comes_first(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in OVERRIDES.items():
        monkeypatch.setenv(name, value)
    found = find(state_dir)
    assert (found.kafka, found.redis_url) == ("kafka:9092", "redis://redis:6379/0")
    assert found.api_url == "https://api.example"


@pytest.mark.parametrize(
    "url", ["nonsense", "localhost:8000", "http://", "ftp://api", "http://api:port", "http://[::1"]
)
def test_an_address_of_the_api_that_is_no_url_is_said(
    url: str, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COURSESTREAM_API_URL", url)
    with pytest.raises(ConfigurationError, match="COURSESTREAM_API_URL is no URL"):
        _ = find(state_dir).api_url


def test_a_cluster_of_ours_is_one_and_another_redis_is_what_the_environment_says(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not find(state_dir).connections().redis_cluster
    (state_dir / "ready.json").write_text(json.dumps({**READY, "redis_cluster": True}))
    assert find(state_dir).connections().redis_cluster
    monkeypatch.setenv("REDIS_URL", OVERRIDES["REDIS_URL"])
    assert not find(state_dir).connections().redis_cluster
    monkeypatch.setenv("REDIS_CLUSTER", "true")
    assert find(state_dir).connections().redis_cluster


def test_the_environment_alone_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "kafka:9092")
    found = find(tmp_path / "nothing here")
    assert found.connections(redis=False).kafka_bootstrap_servers == "kafka:9092"
    with pytest.raises(NotReadyError, match="REDIS_URL"):
        found.connections()


def test_a_broken_ready_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "ready.json").write_text("{")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        find(tmp_path)


def test_the_api_is_asked_with_a_development_token_or_the_given_one(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims = jwt.decode(find(state_dir).token("reader"), SECRET, algorithms=["HS256"])
    assert claims["scope"] == "reader"
    monkeypatch.setenv("COURSESTREAM_TOKEN", "given")
    assert find(state_dir).token("reader") == "given"
