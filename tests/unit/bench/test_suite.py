"""The suite names commands, models and settings that there are."""

import pytest
import typer.main

from bench.suite import SUITE, Part, words_of
from bench.tables import ORDER
from cli.app import app
from trainer.ablation import VARIANTS
from trainer.contenders import CONTENDERS
from trainer.settings import TrainerSettings, config_keys

PARTS = [pytest.param(part, id=f"{bench.name}-{part.name}") for bench in SUITE for part in bench.parts]


def test_names_are_those_of_files() -> None:
    names = [f"{bench.name}.{part.name}" for bench in SUITE for part in bench.parts]
    assert len(set(names)) == len(names)
    assert all(name.replace("_", "").replace(".", "").isalnum() for name in names)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_a_call_that_the_command_line_takes(part: Part) -> None:
    words = [*words_of(part, "DATA"), "--json", "FILE"]
    command, context = typer.main.get_command(app), None
    while words and hasattr(command, "get_command"):
        name, *words = words
        command = command.get_command(context, name)
    found = command.make_context("call", words)
    options = found.params
    assert set((options.get("models") or "hybrid").split(",")) <= {*CONTENDERS, "hybrid"}
    assert set((options.get("ablate") or "fit").split(",")) <= {"all", *VARIANTS}
    assert set(part.settings) <= config_keys()
    assert TrainerSettings(**part.settings) == TrainerSettings().model_copy(update=dict(part.settings))


def test_a_limit_only_lowers() -> None:
    part, all_tests = Part("a", "evaluate {data}/x", 1, 100), Part("a", "evaluate {data}/x", 1)
    assert words_of(part, "my data", 500)[1:4] == ["my data/x", "--limit", "100"]
    assert words_of(all_tests, "d", 7)[2:4] == ["--limit", "7"]
    assert "--limit" not in words_of(all_tests, "d")


def test_models_are_listed_as_evaluate_does() -> None:
    assert tuple(CONTENDERS) == ORDER


def test_every_model_is_in_the_bench_of_the_paper_and_of_mars() -> None:
    for name in ("ncf", "mars"):
        bench = next(one for one in SUITE if one.name == name)
        models = [model for part in bench.parts for model in part.call.rpartition("--models ")[2].split(",")]
        assert sorted(models) == sorted(CONTENDERS)
