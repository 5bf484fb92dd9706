"""Exit statuses and what goes where: 0 success, 1 a failure in one line, 2 wrong usage."""

import json
import subprocess
import sys
from pathlib import Path

import jwt
import pytest

from cli.app import COMMANDS, run

SECRET = "a secret of the tests, 32 bytes or more"
HEAVY = ("torch", "faiss", "faust", "pandas", "sklearn", "matplotlib", "jinja2")


@pytest.fixture(autouse=True)
def _no_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no system of this machine be found."""
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "REDIS_URL", "COURSESTREAM_API_URL", "COURSESTREAM_TOKEN", "JWT_SECRET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COURSESTREAM_STATE_DIR", str(tmp_path))


@pytest.mark.parametrize("arguments", [["--help"], *([name, "--help"] for name in COMMANDS)])
def test_help_is_success(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 0
    assert "Usage: coursestream" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["import"],
        ["import", ".", "--layout", "nonsense"],
        ["import", ".", "--speed", "fast"],
        ["import", ".", "--speed", "-1"],
        ["import", ".", "--speed", "nan"],
        ["token", "--subject", "u1"],
        ["token", "--subject", "u1", "--scope", "root"],
        ["token", "--subject", "u1", "--scope", " "],
        ["token", "--subject", "u1", "--scope", "reader", "--ttl-s", "0"],
        ["token", "--subject", "u1", "--scope", "reader", "--ttl-s", "315360001"],
        ["replay", "--swap", "--until", "1"],
        ["state"],
        ["state", "digest", "--as-of", "2025-09-01T10:00"],
        ["state", "digest", "--as-of", "1", "--generation", "0"],
        ["train", "--device", "abacus"],
        ["recommend", "u1", "--limit", "0"],
        ["recommend", ""],
        ["recommend", "", "--as-of", "1"],
        ["similar", ""],
        ["up", "--port", "70000"],
        ["models", "promote"],
        ["explore"],
        ["explore", ".", "--layout", "nonsense"],
        ["erase"],
        ["erase", ""],
        ["erase", "new\nline"],
        ["erase", "ü" * 200],
        ["erase", "u1", "--wait-s", "-1"],
        ["dead-letters"],
        ["dead-letters", "list", "--limit", "0"],
        ["dead-letters", "retry"],
        ["dead-letters", "retry", "--all", "--offset", "0:7"],
        ["dead-letters", "retry", "--offset", "courses:0:7"],
    ],
)
def test_wrong_usage_is_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "Usage: coursestream" in said.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["import", "."],
        ["publish"],
        ["train"],
        ["models"],
        ["models", "promote", "v1"],
        ["models", "rollback"],
        ["lag"],
        ["lag", "--watch"],
        ["replay"],
        ["state", "digest"],
        ["recommend", "u1"],
        ["similar", "c1"],
        ["erase", "u1"],
        ["token", "--subject", "u1", "--scope", "reader"],
    ],
)
def test_without_a_system_one_line_says_what_to_do(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("coursestream: ")
    assert said.err.count("\n") == 1
    assert "coursestream up" in said.err


def test_an_unknown_folder_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    assert run(["import", str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert "looked for" in said.err


def test_an_empty_id_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["recommend", ""]) == 2
    said = capsys.readouterr().err
    assert "USER" in said and "it is empty" in said


@pytest.mark.parametrize("command", ["up", "demo"])
@pytest.mark.parametrize(("name", "said"), [("empty", "looked for"), ("absent", "is no folder")])
def test_data_of_no_layout_is_refused_before_anything_starts(
    command: str, name: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    state_dir = tmp_path / "state"
    assert run([command, "--data", str(tmp_path / name), "--state-dir", str(state_dir), "--port", "0"]) == 1
    line = capsys.readouterr().err
    assert said in line and line.count("\n") == 1
    assert not state_dir.exists()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("REDIS_URL", "foo"),
        ("REDIS_URL", "redis://127.0.0.1:notaport"),
        ("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:notaport"),
    ],
)
@pytest.mark.parametrize("arguments", [["lag"], ["models"], ["up", "--port", "0"]])
def test_an_address_that_is_none_is_one_line(
    variable: str, value: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "REDIS_URL"):
        monkeypatch.setenv(name, "127.0.0.1:1" if name.startswith("K") else "redis://127.0.0.1:1")
    monkeypatch.setenv(variable, value)
    assert run(arguments) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"coursestream: setting {variable.lower()} ({variable}): ") and said.count("\n") == 1


def test_a_token_is_one_raw_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("JWT_SECRET", SECRET)
    assert run(["token", "--subject", "ü1", "--scope", "reader  publisher", "--ttl-s", "60"]) == 0
    line = capsys.readouterr().out
    assert line.count("\n") == 1
    claims = jwt.decode(line.strip(), SECRET, algorithms=["HS256"])
    assert (claims["sub"], claims["scope"], claims["exp"] - claims["iat"]) == ("ü1", "reader publisher", 60)


def test_a_token_is_signed_with_the_secret_of_the_state_directory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "secret").write_text(SECRET + "\n")
    assert run(["token", "--subject", "u1", "--scope", "reader"]) == 0
    assert jwt.decode(capsys.readouterr().out.strip(), SECRET, algorithms=["HS256"])["sub"] == "u1"


def test_no_command_brings_a_heavy_library_in_before_it_needs_it() -> None:
    program = (
        "import json, sys\nfrom cli.app import COMMANDS, run\n"
        "statuses = [run([name, '--help']) for name in COMMANDS]\n"
        "print(json.dumps([statuses, sorted(sys.modules)]), file=sys.stderr)"
    )
    ended = subprocess.run((sys.executable, "-c", program), capture_output=True, text=True, check=True)
    statuses, modules = json.loads(ended.stderr)
    assert set(statuses) == {0}
    assert not set(HEAVY) & set(modules)


def test_a_token_needs_nothing_but_the_contracts() -> None:
    program = "import sys\nfrom cli.app import run\nrun(['token', '--help'])\nprint(*sys.modules, file=sys.stderr)"
    ended = subprocess.run((sys.executable, "-c", program), capture_output=True, text=True, check=True)
    assert not {"aiokafka", "redis", "numpy", "httpx"} & set(ended.stderr.split())
