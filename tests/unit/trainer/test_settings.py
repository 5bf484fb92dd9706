"""The file with the settings of a training: `deploy/trainer.toml` shows it whole."""

import asyncio
import json
import sys
import tomllib
from pathlib import Path

import pytest

from cli.app import run
from schemas.errors import ConfigurationError
from trainer.settings import TrainerSettings, config_keys, load_settings

SHOWN = Path(__file__).parents[3] / "deploy" / "trainer.toml"


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in TrainerSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def _file(folder: Path, text: str) -> Path:
    path = folder / "own.toml"
    path.write_text(text)
    return path


def test_the_file_shows_every_key_with_its_default_and_what_it_means() -> None:
    assert tomllib.loads(SHOWN.read_text()).keys() == config_keys()
    shown, defaults = load_settings(train_config=SHOWN), TrainerSettings()
    assert shown.model_dump(exclude={"train_config"}) == defaults.model_dump(exclude={"train_config"})
    lines = SHOWN.read_text().splitlines()
    for name in config_keys():
        place = next(number for number, line in enumerate(lines) if line.startswith(f"{name} = "))
        assert lines[place - 1] == f"# {TrainerSettings.model_fields[name].description}"


def test_the_environment_comes_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "train_dimensions = 16\ntrain_loss = 'focal'\ntrain_decays = [0, 0.8, 0.98]\n"
    monkeypatch.setenv("TRAIN_CONFIG", str(_file(tmp_path, text)))
    monkeypatch.setenv("TRAIN_DIMENSIONS", "32")
    settings = load_settings()
    assert (settings.train_dimensions, settings.train_loss, settings.train_epochs) == (32, "focal", 16)
    assert settings.train_decays == (0.0, 0.8, 0.98)
    assert load_settings(train_config=None).train_loss == "bce"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("train_dimension = 16", r"own.toml: unknown key 'train_dimension'; deploy/trainer.toml shows every key"),
        ("bundle_url = 'x'", "unknown key 'bundle_url'"),
        (
            "train_dimensions = 3",
            r"setting train_dimensions \(TRAIN_DIMENSIONS\): .* greater than or equal to 4, got 3",
        ),
        ("train_learning_rate = nan", "train_learning_rate .* finite number, got nan"),
        ("train_learning_rate = inf", "train_learning_rate"),
        ("train_decays = [0.5, 1.5]", r"train_decays.1 .* less than or equal to 1"),
        ("train_decays = []", "train_decays"),
        ("train_loss = 'mse'", "'bce' or 'focal'"),
        ("train_epochs = 'many'", "train_epochs .* valid integer"),
        ("train_epochs = ", "own.toml cannot be read as TOML"),
        ("\x00", "own.toml cannot be read as TOML"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as raised:
        load_settings(train_config=_file(tmp_path, text))
    assert "\n" not in str(raised.value)


def test_a_variable_that_is_no_list_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAIN_DECAYS", "0.8 1.0")
    with pytest.raises(ConfigurationError, match=r"train_decays.*lists are written as JSON") as raised:
        load_settings()
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no\.toml cannot be read"):
        load_settings(train_config=tmp_path / "no.toml")


def test_the_command_says_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    assert run(["train", "--config", str(_file(tmp_path, "epochs = 3")), "--state-dir", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("coursestream: ") and "unknown key 'epochs'" in said and said.count("\n") == 1


async def test_the_process_says_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAIN_CONFIG", str(_file(tmp_path, "train_epochs = 0")))
    trainer = await asyncio.create_subprocess_exec(sys.executable, "-m", "trainer", stderr=asyncio.subprocess.PIPE)
    _, said = await trainer.communicate()
    assert trainer.returncode == 1
    assert said.decode().startswith("trainer: setting train_epochs (TRAIN_EPOCHS): ") and said.count(b"\n") == 1


def test_a_training_gets_the_values_and_not_the_file(tmp_path: Path) -> None:
    settings = load_settings(train_config=_file(tmp_path, "train_epochs = 3"))
    ordered = json.loads(json.dumps(settings.model_dump(mode="json", exclude={"train_config"})))
    assert TrainerSettings(**ordered, train_config=None).train_epochs == 3
