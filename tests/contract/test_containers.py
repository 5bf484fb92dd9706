"""The Dockerfile and docker-compose.yml against the settings classes, the commands and the routes they name."""

import ast
import importlib.util
import json
import re
import tomllib
from pathlib import Path
from string import Template
from typing import Any, Final, NamedTuple

import pytest
import yaml
from pydantic import SecretStr
from pydantic_settings import BaseSettings

from api.access import OPEN
from api.app import create_app
from api.settings import ApiSettings
from deploy.jars import KAFKA_VERSION
from deploy.redis import SETTINGS
from schemas.settings import Connections
from stream.settings import StreamSettings
from trainer.settings import TrainerSettings

ROOT: Final = Path(__file__).parents[2]
ROLES: Final[dict[str, type[BaseSettings]]] = {"stream": StreamSettings, "trainer": TrainerSettings, "api": ApiSettings}
OURS: Final = {"topics": "stream", "worker-1": "stream", "worker-2": "stream", "trainer": "trainer", "api": "api"}
"""Our services and the role whose image each runs."""
BUNDLES: Final = "/var/lib/coursestream/bundles"
SECRET: Final = "0" * 64

_OF_PYTHON: Final = {"PYTHONUNBUFFERED", "PIP_NO_CACHE_DIR", "PIP_DISABLE_PIP_VERSION_CHECK"}
_OF_THE_PLACE: Final = re.compile(r"node\.id|process\.roles|listener|voters|log\.dirs")
"""Settings of Kafka that differ between one machine and containers."""
_OF_ONE_MACHINE: Final = re.compile(r"num\.partitions|num\..*threads|buffer\.size|broker\.(heartbeat|session)")
"""Settings with which the embedded Kafka is kept small and quick to come back."""


class Instruction(NamedTuple):
    """A line of a Dockerfile, continuation lines joined."""

    keyword: str
    argument: str


def read_dockerfile() -> dict[str, list[Instruction]]:
    """Return the instructions by stage."""
    text = re.sub(r"^#.*\n", "", (ROOT / "deploy" / "Dockerfile").read_text(), flags=re.MULTILINE)
    stages: dict[str, list[Instruction]] = {}
    current: list[Instruction] = []
    for line in text.replace("\\\n", " ").splitlines():
        if not line.strip():
            continue
        keyword, _, argument = line.strip().partition(" ")
        if keyword == "FROM":
            current = stages.setdefault(argument.rpartition(" AS ")[2], [])
        current.append(Instruction(keyword, argument.strip()))
    return stages


STAGES: Final = read_dockerfile()
COMPOSE: Final[dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: Final[dict[str, dict[str, Any]]] = COMPOSE["services"]
PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text())


def all_of(stage: str, keyword: str) -> list[str]:
    """Return the arguments of an instruction in a role's stage and the one it is based on."""
    return [argument for name in ("base", stage) for found, argument in STAGES[name] if found == keyword]


def only(stage: str, keyword: str) -> str:
    """Return the argument of an instruction that a role's own stage has once."""
    (argument,) = (argument for found, argument in STAGES[stage] if found == keyword)
    return argument


def image_environment(stage: str) -> dict[str, str]:
    """Return what the image sets."""
    pairs = [pair.partition("=") for argument in all_of(stage, "ENV") for pair in argument.split()]
    return {name: value for name, _, value in pairs}


def service_environment(service: str) -> dict[str, str]:
    """Return what the service sets; what the person who starts it must set is filled in."""
    found: dict[str, str] = SERVICES[service].get("environment", {})
    return {name: SECRET if value.startswith("${JWT_SECRET:?") else value for name, value in found.items()}


def module_of(entry_point: list[str]) -> str:
    """Return the module that an entry point runs."""
    assert entry_point[:3] == ["python", "-P", "-m"] and len(entry_point) == 4
    return entry_point[3]


def source_of_program(module: str) -> Path:
    """Return the file that `python -m` runs."""
    spec = importlib.util.find_spec(module)
    assert spec is not None, f"there is no module {module}"
    if spec.submodule_search_locations:
        spec = importlib.util.find_spec(f"{module}.__main__")
    assert spec is not None and spec.origin is not None, f"{module} cannot be run"
    return Path(spec.origin)


def variables_read_in(source: Path) -> set[str]:
    """Return the names that a file reads by `os.environ.get`."""
    calls = [node for node in ast.walk(ast.parse(source.read_text())) if isinstance(node, ast.Call)]
    return {
        str(call.args[0].value)
        for call in calls
        if ast.unparse(call.func) == "os.environ.get" and isinstance(call.args[0], ast.Constant)
    }


def names_of(settings: type[BaseSettings]) -> set[str]:
    """Return the environment variables that a settings class reads."""
    return {name.upper() for name in settings.model_fields}


def has_health_check(service: str) -> bool:
    """Return whether a container of the service says how it is."""
    declared = SERVICES[service].get("healthcheck")
    if declared:
        return not declared.get("disable", False)
    return service in OURS and any(keyword == "HEALTHCHECK" for keyword, _ in STAGES[OURS[service]])


def test_there_is_a_stage_for_each_role_and_a_service_for_each_part() -> None:
    assert set(STAGES) == {"base", *ROLES}
    assert set(SERVICES) == {"kafka", "redis", *OURS}


@pytest.mark.parametrize("role", ROLES)
def test_an_image_holds_its_role_and_runs_it_without_root(role: str) -> None:
    (installed,) = (argument for argument in all_of(role, "RUN") if argument.startswith("pip install"))
    assert installed == f'pip install ".[{role}]"'
    assert role in PROJECT["project"]["optional-dependencies"]
    assert only(role, "FROM") == f"base AS {role}"
    user = only(role, "USER")
    assert any(f"useradd --create-home --uid 10001 {user}" in argument for argument in all_of(role, "RUN"))
    assert module_of(json.loads(only(role, "ENTRYPOINT"))) == role
    assert source_of_program(role).is_relative_to(ROOT / role)
    keywords = [keyword for keyword, _ in STAGES[role]]
    assert keywords.index("USER") > len(keywords) - 1 - keywords[::-1].index("RUN")


def test_who_only_serves_installs_no_torch() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    for requirements in (extras["api"], extras["stream"], PROJECT["project"]["dependencies"]):
        assert not [line for line in requirements if re.match(r"torch|coursestream\[", line)]


@pytest.mark.parametrize("role", ROLES)
def test_an_image_sets_only_what_its_role_reads(role: str) -> None:
    assert set(image_environment(role)) <= names_of(ROLES[role]) | _OF_PYTHON


def test_what_is_copied_exists_and_reaches_the_builder() -> None:
    copied = {source for argument in all_of("api", "COPY") for source in argument.split()[:-1]}
    assert {package.partition(".")[0] for package in PROJECT["tool"]["setuptools"]["packages"]} <= copied
    assert {"pyproject.toml", PROJECT["project"]["readme"], *PROJECT["project"]["license-files"]} <= copied
    assert all((ROOT / source).exists() for source in copied)
    ignore = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text().splitlines()
    assert "*" in ignore
    assert {line[1:] for line in ignore if line.startswith("!")} == copied


def test_the_api_is_healthy_when_its_open_route_answers() -> None:
    check = only("api", "HEALTHCHECK")
    found = re.search(r"http://127\.0\.0\.1:(\d+)(/\w+)", check)
    assert found is not None
    port, path = found.groups()
    routes = create_app(ApiSettings(jwt_secret=SecretStr(SECRET))).openapi()["paths"]
    assert path in OPEN and "get" in routes[path]
    assert port == image_environment("api")["API_PORT"] == only("api", "EXPOSE")
    assert image_environment("api")["API_HOST"] == "0.0.0.0"


@pytest.mark.parametrize("role", ["stream", "trainer"])
def test_the_others_are_healthy_when_they_have_written_their_file(role: str) -> None:
    assert json.loads(only(role, "HEALTHCHECK").partition("CMD ")[2]) == ["sh", "-c", "test -f $READY_FILE"]
    assert image_environment(role)["READY_FILE"].startswith("/dev/shm/")


@pytest.mark.parametrize("service", OURS)
def test_a_service_is_built_from_its_role(service: str) -> None:
    build = SERVICES[service]["build"]
    assert (ROOT / build["context"] / build["dockerfile"]).samefile(ROOT / "deploy" / "Dockerfile")
    assert build["target"] == OURS[service]
    if "entrypoint" in SERVICES[service]:
        source = source_of_program(module_of(SERVICES[service]["entrypoint"]))
        assert '__name__ == "__main__"' in source.read_text()


@pytest.mark.parametrize("service", [name for name in OURS if name != "topics"])
def test_a_service_sets_what_its_role_reads_and_accepts(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, environment = ROLES[OURS[service]], service_environment(service)
    assert set(environment) <= names_of(settings)
    for name in names_of(settings):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**image_environment(OURS[service]), **environment}.items():
        monkeypatch.setenv(name, value)
    read = settings()
    assert {name: str(getattr(read, name.lower())) for name in environment if name != "JWT_SECRET"} == {
        name: value for name, value in environment.items() if name != "JWT_SECRET"
    }


def test_the_founding_command_reads_what_it_is_told() -> None:
    source = source_of_program(module_of(SERVICES["topics"]["entrypoint"]))
    assert set(service_environment("topics")) <= names_of(Connections) | variables_read_in(source)


def test_workers_have_names_of_their_own_and_are_no_more_than_shards() -> None:
    workers = [name for name, role in OURS.items() if role == "stream" and name != "topics"]
    names = {service_environment(service)["WORKER_ID"] for service in workers}
    assert len(names) == len(workers) <= int(service_environment("topics")["PARTITIONS"])


@pytest.mark.parametrize("service", OURS)
def test_addresses_lead_to_the_services_that_listen_there(service: str) -> None:
    environment = service_environment(service)
    assert environment["KAFKA_BOOTSTRAP_SERVERS"] == "kafka:9092"
    assert "PLAINTEXT://kafka:9092" in SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"].split(",")
    assert environment["REDIS_URL"] == "redis://redis:6379/0"
    assert "--port" not in SERVICES["redis"]["command"]


def test_ports_of_the_host_lead_to_listening_ones() -> None:
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    inside = {name: published[0].rpartition(":")[2] for name, published in ports.items()}
    assert inside == {"api": image_environment("api")["API_PORT"], "kafka": "29092", "redis": "6379"}
    assert all(published[0].startswith("127.0.0.1:") for published in ports.values())
    kafka = SERVICES["kafka"]["environment"]
    assert "HOST://:29092" in kafka["KAFKA_LISTENERS"].split(",")
    host = ports["kafka"][0].rpartition(":")[0]
    assert f"HOST://{host}" in kafka["KAFKA_ADVERTISED_LISTENERS"].split(",")


def test_trainer_and_workers_share_the_bundles() -> None:
    sharing = {name for name, service in SERVICES.items() if f"bundles:{BUNDLES}" in service.get("volumes", ())}
    assert sharing == {"trainer", "worker-1", "worker-2"}
    assert all(service_environment(service)["BUNDLE_URL"] == BUNDLES for service in OURS)
    assert any("-o coursestream" in argument and BUNDLES in argument.split() for argument in all_of("base", "RUN"))


def test_every_volume_is_declared_and_used() -> None:
    used = {volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())}
    assert used == set(COMPOSE["volumes"])


@pytest.mark.parametrize("service", SERVICES)
def test_what_a_service_waits_for_can_happen(service: str) -> None:
    for other, wanted in SERVICES[service].get("depends_on", {}).items():
        match wanted["condition"]:
            case "service_healthy":
                assert has_health_check(other)
            case "service_completed_successfully":
                assert SERVICES[other]["restart"] == "on-failure"
            case condition:
                pytest.fail(f"{service} waits for {other} under the unknown condition {condition}")


def test_kafka_is_the_version_and_has_the_settings_of_the_embedded_one() -> None:
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{KAFKA_VERSION}"
    template = Template((ROOT / "deploy" / "server.properties").read_text())
    lines = template.safe_substitute(copies=1, in_sync=1).splitlines()  # of one node
    embedded = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    shared = {
        f"KAFKA_{name.replace('.', '_').upper()}": value
        for name, value in embedded.items()
        if not _OF_THE_PLACE.search(name) and not _OF_ONE_MACHINE.search(name)
    }
    environment = SERVICES["kafka"]["environment"]
    assert shared and shared.items() <= environment.items()
    known = {f"KAFKA_{name.replace('.', '_').upper()}" for name in embedded}
    assert set(environment) <= known


def test_redis_has_the_settings_of_the_embedded_one() -> None:
    program, *arguments = SERVICES["redis"]["command"]
    assert program == "redis-server"
    assert dict(zip(arguments[::2], arguments[1::2], strict=True)) == {
        f"--{name}": value for name, value in SETTINGS.items()
    }
