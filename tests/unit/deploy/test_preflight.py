"""What is checked and made before anything starts."""

import shutil
import socket
from collections import namedtuple
from pathlib import Path

import pytest

from deploy.ports import LOOPBACK, is_free
from deploy.preflight import check_disk, choose_port, choose_ports, development_secret
from schemas.errors import ConfigurationError

Usage = namedtuple("Usage", "total used free")


def test_a_taken_port_is_named() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"port {port} is in use.*--port"):
            choose_port(port)


def test_port_0_is_a_free_one() -> None:
    assert choose_port(0) > 0


def test_processes_of_the_api_have_ports_of_their_own() -> None:
    assert len(set(choose_ports(0, 3))) == 3
    with pytest.raises(ConfigurationError, match="no 2 ports from 65535 on"):
        choose_ports(65_535, 2)
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"port {port} is in use"):
            choose_ports(port - 1 if is_free(port - 1) else port, 2)


def test_a_full_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 10**12, 999_000_000))
    with pytest.raises(ConfigurationError, match="only 999 MB are free"):
        check_disk(tmp_path)


def test_the_secret_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    secret = development_secret(tmp_path)
    assert len(bytes.fromhex(secret)) == 32
    assert development_secret(tmp_path) == secret
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]
