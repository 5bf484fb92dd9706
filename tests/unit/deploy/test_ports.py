"""Free ports, kept across restarts."""

import socket
from pathlib import Path

from deploy.ports import LOOPBACK, free_port, is_free, remembered_ports


def test_a_port_that_is_listened_on_is_not_free() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        assert not is_free(server.getsockname()[1])


def test_a_free_port_is_below_those_of_outgoing_connections() -> None:
    assert 20_000 <= free_port() < 32_000


def test_ports_stay_while_they_are_free(tmp_path: Path) -> None:
    first = remembered_ports(tmp_path / "ports.json", ("port", "controller_port"))
    assert len(set(first.values())) == 2
    assert remembered_ports(tmp_path / "ports.json", ("port", "controller_port")) == first


def test_a_port_that_was_taken_meanwhile_changes_alone(tmp_path: Path) -> None:
    first = remembered_ports(tmp_path / "ports.json", ("port", "controller_port"))
    with socket.create_server((LOOPBACK, first["port"])):
        second = remembered_ports(tmp_path / "ports.json", ("port", "controller_port"))
    assert second["port"] != first["port"]
    assert second["controller_port"] == first["controller_port"]
