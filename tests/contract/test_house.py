"""Promises about the tree itself: its packages, settings, documents, commands and what may not be in it."""

import ast
import importlib
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import typer
import typer.main
from pydantic_settings import BaseSettings

from api.settings import ApiSettings
from cli.app import COMMANDS, Commands
from cli.app import app as command_line
from schemas.settings import Connections
from stream.settings import StreamSettings
from trainer.settings import TrainerSettings

ROOT: Final = Path(__file__).parents[2]
PYPROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES: Final[list[str]] = PYPROJECT["tool"]["setuptools"]["packages"]
SETTINGS: Final[list[type[BaseSettings]]] = [Connections, StreamSettings, TrainerSettings, ApiSettings]
DOCUMENTS: Final = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")

OF_NO_CLASS: Final = {
    "COURSESTREAM_STATE_DIR", "COURSESTREAM_API_URL", "COURSESTREAM_TOKEN", "PARTITIONS", "REPLICATION_FACTOR",
    "GIT_COMMIT",
}  # fmt: skip
"""Variables in .env.example that the command line, or one command, reads by itself."""

RUN_ELSEWHERE: Final = {"KAFKA_BOOTSTRAP_SERVERS", "REDIS_URL"}
"""Commented there, beside their defaults: set, they keep `up` from embedding its own."""

OPTIONS: Final = {
    "up": {"--state-dir", "--data", "--workers", "--port", "--ready-file"},
    "demo": {"--state-dir", "--data", "--no-browser"},
    "import": {"--state-dir", "--layout", "--speed", "--shift-to-now", "--json"},
    "publish": {"--state-dir", "--json"},
    "simulate": {"--state-dir", "--learners", "--courses", "--rate", "--seconds", "--seed", "--json"},
    "train": {"--state-dir", "--seed", "--force", "--as-of", "--device", "--json"},
    "evaluate": {"--protocol", "--models", "--refit", "--limit", "--seed", "--filter", "--report", "--json"},
    "explore": {"--report", "--json"},
    "tune": {"--trials", "--out", "--protocol", "--seed", "--config", "--json"},
    "models": {"--state-dir", "--json"},
    "models list": {"--state-dir", "--json"},
    "models promote": {"--state-dir", "--json"},
    "models rollback": {"--state-dir", "--json"},
    "experiments": {"--state-dir", "--json"},
    "lag": {"--state-dir", "--watch", "--json"},
    "replay": {"--state-dir", "--until", "--swap", "--json"},
    "state digest": {"--state-dir", "--generation", "--as-of", "--json"},
    "recommend": {"--state-dir", "--limit", "--strategy", "--reasons", "--json"},
    "similar": {"--state-dir", "--json"},
    "token": {"--state-dir", "--subject", "--scope", "--ttl-s"},
}
"""Calls that are relied on from outside: more may come, none may go."""

ALLOWED_IMPORTS: Final = {
    "schemas": {"schemas", "msgspec", "pydantic", "pydantic_settings"},
    "recommender": {"recommender", "schemas", "numpy", "scipy", "faiss", "msgspec"},
    "datasets": {"datasets", "schemas", "msgspec"},
    "adapters": {"adapters", "schemas", "aiokafka", "fsspec", "hiredis", "redis"},
}
UNSAFE_TO_READ: Final = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}


def tracked_files() -> list[Path]:
    """Return the files that belong to the tree: tracked, or new and not ignored."""
    listed = subprocess.run(
        ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"),
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def sources(*packages: str) -> Iterator[tuple[Path, ast.Module]]:
    """Yield the modules of packages."""
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path, ast.parse(path.read_text())


def imported_modules(tree: ast.Module) -> Iterator[str]:
    """Yield the names of modules that a module imports, wherever it does."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def commands() -> dict[str, Any]:
    """Return every command of the command line by its words."""
    found: dict[str, Any] = {}
    for name in COMMANDS:
        command: Any = Commands().get_command(None, name)
        found[name] = command
        for inner, subcommand in getattr(command, "commands", {}).items():
            found[f"{name} {inner}"] = subcommand
    return found


def options_of(command: Any) -> set[str]:
    """Return the options of a command, such as `--limit`."""
    return {name for option in command.params for name in (*option.opts, *option.secondary_opts) if name[:2] == "--"}


@pytest.mark.parametrize("package", PACKAGES)
def test_our_packages_are_the_ones_imported(package: str) -> None:
    """Several of our names are also names on package registries."""
    assert Path(str(importlib.import_module(package).__file__)).is_relative_to(ROOT)


def test_nothing_connects_at_import_time() -> None:
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path, _ in sources(*PACKAGES)
        if path.stem not in ("__main__", "__init__")
    ]
    program = (
        "import importlib, sys\n"
        "def audit(event, arguments):\n"
        "    if event in ('socket.connect', 'socket.bind'):\n"
        "        raise AssertionError(f'{event} {arguments}')\n"
        "sys.addaudithook(audit)\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(name)\n"
    )
    subprocess.run((sys.executable, "-c", program, *names), check=True, timeout=120)


def example_values() -> dict[str, str | None]:
    """Return the variables of .env.example; None where a line is commented out."""
    lines = re.findall(r"^(# )?([A-Z][A-Z0-9_]*)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE)
    return {name: None if comment else value for comment, name, value in lines}


@pytest.mark.parametrize("settings", SETTINGS)
def test_env_example_holds_the_default_of_every_setting(
    settings: type[BaseSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    values = example_values()
    for name in values:
        monkeypatch.delenv(name, raising=False)
    needed = {"jwt_secret": "0" * 32} if settings is ApiSettings else {}
    loaded = settings(_env_file=ROOT / ".env.example", **needed)  # type: ignore[arg-type]  # values of any field
    for name, field in settings.model_fields.items():
        assert name.upper() in values, f"{name} is missing"
        assert field.description
        if name.upper() in RUN_ELSEWHERE:
            assert f"\n# {name.upper()}={field.default}\n" in (ROOT / ".env.example").read_text()
        assert (values[name.upper()] is None) == (field.default is None or name.upper() in RUN_ELSEWHERE), name
        if name not in needed:
            assert getattr(loaded, name) == field.default, name


def test_env_example_holds_nothing_that_nobody_reads() -> None:
    known = {name.upper() for settings in SETTINGS for name in settings.model_fields}
    assert set(example_values()) == known | OF_NO_CLASS


def test_no_machine_path_and_no_registry_is_in_the_tree() -> None:
    forbidden = re.compile(
        r"/(wor[k]|hom[e]|roo[t]|User[s])/|pypi\.or[g]|pythonhoste[d]|registry\.npm[j]s|repo1?\.mave[n]"
        r"|download\.pytorc[h]|debian\.or[g]"
    )
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in tracked_files()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if forbidden.search(line)
    ]
    assert not found


def test_constraints_pin_every_direct_dependency_to_a_plain_version() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pins = [re.fullmatch(r"([a-z0-9-]+)==[0-9][a-z0-9.]*( ; .+)?", line) for line in lines]
    assert [line for line, pin in zip(lines, pins, strict=True) if pin is None] == []
    wanted = [*PYPROJECT["project"]["dependencies"]]
    wanted += [name for extra in PYPROJECT["project"]["optional-dependencies"].values() for name in extra]
    names = {re.split(r"[^\w-]", name)[0].lower() for name in wanted} - {"coursestream"}
    assert names <= {pin[1] for pin in pins if pin}


def test_who_only_serves_installs_no_model_library() -> None:
    extras = PYPROJECT["project"]["optional-dependencies"]
    served = " ".join([*PYPROJECT["project"]["dependencies"], *extras["api"]])
    assert not re.search(r"torch|faiss|faust|scipy|pandas|scikit", served)


def test_architecture_is_short() -> None:
    assert len((ROOT / "ARCHITECTURE.md").read_text().splitlines()) <= 150


def test_the_licence_is_whole() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text


@pytest.mark.parametrize("document", DOCUMENTS)
def test_make_targets_in_documents_exist(document: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    said = set(re.findall(r"(?:^ *|`)(?:[A-Z_]+=\S+ )?make ([a-z]+)", (ROOT / document).read_text(), re.MULTILINE))
    assert said <= targets


def calls_in(document: str) -> list[list[str]]:
    """Return the `coursestream` calls in a document, in code blocks or between backticks, as words."""
    text = (ROOT / document).read_text()
    quoted = re.findall(r"`(?:\.venv/bin/)?coursestream ([^`]+)`", text)
    blocks = re.findall(r"(?:^ *|[|(] *)(?:\.venv/bin/)?coursestream ([^|#)\n]+)", text, re.MULTILINE)
    return [shlex.split(call, comments=True) for call in quoted + blocks]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_calls_in_documents_exist(document: str) -> None:
    known = commands()
    for words in calls_in(document):
        name = " ".join(words[:2]) if " ".join(words[:2]) in known else words[0]
        assert name in known, words
        used = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert used <= options_of(known[name]) | {"--help"}, words


def test_the_readme_shows_calls() -> None:
    """Or the test above would look at nothing."""
    assert len(calls_in("README.md")) >= 8


@pytest.mark.parametrize("call", OPTIONS)
def test_calls_that_are_relied_on_exist(call: str) -> None:
    known = commands()
    assert call in known
    assert OPTIONS[call] <= options_of(known[call])


def test_the_console_script_is_the_command_line() -> None:
    assert PYPROJECT["project"]["scripts"] == {"coursestream": "cli.app:main"}
    assert typer.main.get_command(command_line).list_commands(None) == list(COMMANDS)  # type: ignore[attr-defined]  # it is a group


@pytest.mark.parametrize("package", ALLOWED_IMPORTS)
def test_rooms_below_import_only_what_they_may(package: str) -> None:
    """The import linter forbids names; this allows names."""
    allowed = ALLOWED_IMPORTS[package] | sys.stdlib_module_names
    foreign = {
        f"{path.name}: {name}"
        for path, tree in sources(package)
        for name in imported_modules(tree)
        if name.partition(".")[0] not in allowed
    }
    assert not foreign


def test_nothing_is_pickled() -> None:
    for path, tree in sources(*PACKAGES):
        assert not {name.partition(".")[0] for name in imported_modules(tree)} & UNSAFE_TO_READ, path
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            assert ast.unparse(call.func) not in ("torch.load", "torch.save", "np.save"), path
            loose = [one for one in call.keywords if one.arg == "allow_pickle" and ast.unparse(one.value) != "False"]
            assert not loose, path
