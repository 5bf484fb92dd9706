"""Settings of the trainer: one frozen class, read once from the environment and from one file."""

import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from schemas.errors import ConfigurationError
from schemas.settings import Connections, load

Decay = Annotated[float, Field(ge=0, le=1)]


class TrainerSettings(Connections):
    """When the model is refitted, how it is trained, and where Kafka and the bundles are.

    The environment comes first, then the file that TRAIN_CONFIG names (`deploy/trainer.toml` shows all its keys).
    """

    model_config = SettingsConfigDict(allow_inf_nan=False)

    refit_minutes: float = Field(default=60.0, gt=0, description="Refit at the latest so many minutes after the last.")
    refit_events: int = Field(default=25_000, gt=0, description="Refit as soon as so many events are new in the log.")
    min_enrolments: int = Field(
        default=500, ge=1, description="First enrolments of a learner and course needed before a model is trained."
    )
    calm_seconds: float = Field(
        default=3.0, ge=0, description="The first training waits until the log has stood still for so many seconds."
    )
    calm_max_wait_seconds: float = Field(
        default=30.0, ge=0, description="The first training waits at most so many seconds for the log to stand still."
    )
    train_seed: int = Field(default=1, ge=0, description="Seed of every random choice of a training.")
    train_dimensions: int = Field(
        default=64, ge=4, le=512, description="Width d of the course and learner vectors; 128 suits long histories."
    )
    train_decays: tuple[Decay, ...] = Field(
        default=(0.0, 0.8, 1.0),
        min_length=1,
        max_length=8,
        description="Decay rates of the pooled history per later course; (0, 0.8, 0.98) suits long histories.",
    )
    train_epochs: int = Field(default=16, ge=1, description="Most passes over the enrolments.")
    train_patience: int = Field(
        default=3, ge=0, description="Stop after so many epochs without a better validation; 0: never stop early."
    )
    train_loss: Literal["bce", "focal"] = Field(
        default="bce", description="Loss of the full logit: bce, or focal (less weight on what is easy)."
    )
    train_focal_gamma: float = Field(default=2.0, ge=0, le=10, description="Exponent of the focal loss; 0 is bce.")
    train_batch_pairs: int = Field(default=5_000, ge=100, description="Most learner-course pairs in a batch.")
    train_negatives: int = Field(default=4, ge=1, description="Courses not taken, drawn for each enrolment.")
    train_softmax_negatives: int = Field(
        default=8_192, ge=1, description="Courses an enrolment competes with in the softmax over the GMF logit, or all."
    )
    train_dropout: float = Field(
        default=0.2, ge=0, lt=1, description="Share of the history's numbers that a step of a training leaves out."
    )
    train_learning_rate: float = Field(
        default=2e-3, gt=0, le=1, description="Adam's first learning rate; it falls to 5 %."
    )
    train_weight_decay: float = Field(
        default=1e-5, ge=0, le=1, description="Weight decay: the part of a parameter that is added to its slope (L2)."
    )
    train_max_targets: int = Field(
        default=1_000_000, ge=1_000, description="At most so many enrolments, the newest, are trained on."
    )
    train_max_targets_a_learner: int = Field(
        default=200, ge=1, description="At most so many enrolments of one learner, the newest, are trained on."
    )
    train_threads: int = Field(
        default=1, ge=1, description="Threads of a training: part of what fixes its digest; 2 were hardly faster."
    )
    train_device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="Where a training runs: auto is CUDA if there is some, else the CPU."
    )
    train_min_grades: int = Field(
        default=2_000, ge=100, description="Grades in the log needed before a model predicts grades, too."
    )
    ease_lambda: float = Field(
        default=0.0, ge=0, description="Ridge penalty of the item-item model (EASE); 0: by the number of enrolments."
    )
    ease_decay: float = Field(
        default=0.8, gt=0, le=1, description="Decay of the history per later course in item-item and content scores."
    )
    ease_next_weight: float = Field(
        default=1.0, ge=0, description="What the next course counts in the item-item weights, beside EASE."
    )
    ease_max_courses: int = Field(
        default=12_000,
        ge=2,
        description="Item-item weights are exact up to so many courses, with memory for their square.",
    )
    ease_rank: int = Field(
        default=128, ge=1, le=4_096, description="Rank of the item-item weights beyond EASE_MAX_COURSES courses."
    )
    ease_neighbours: int = Field(
        default=200, ge=0, description="Item-item weights kept a course, the largest by absolute value; 0: all."
    )
    evaluate_tests: int = Field(
        default=2_000, ge=10, description="At most so many enrolments, evenly spaced, are tested and fitted on."
    )
    evaluate_tests_a_learner: int = Field(
        default=20, ge=1, description="At most so many enrolments of one learner, the newest, are tested on."
    )
    train_config: Path | None = Field(default=None, description="TOML file with settings of the training.")
    snapshot_dir: Path = Field(
        default=Path(".coursestream/snapshots"), description="Folder of what the trainer keeps of the log, as Parquet."
    )
    ready_file: Path | None = Field(default=None, description="File that is written once the process does its work.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the file below the environment."""
        given = init_settings()
        path = given["train_config"] if "train_config" in given else os.environ.get("TRAIN_CONFIG")
        in_file = InitSettingsSource(settings_cls, read_config(Path(path)) if path else {})
        return init_settings, env_settings, dotenv_settings, in_file, file_secret_settings


PLACES: Final = frozenset({*Connections.model_fields, "train_config", "snapshot_dir", "ready_file"})
"""Settings that say where something is: the environment's alone."""


def config_keys() -> set[str]:
    """Return the keys that the file may have."""
    return set(TrainerSettings.model_fields) - PLACES


def read_config(path: Path) -> dict[str, Any]:
    """Return what the file says; ConfigurationError if it cannot be read, or has a key that is none."""
    try:
        values = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read as TOML: {error}") from None
    unknown = sorted(values.keys() - config_keys())
    if unknown:
        raise ConfigurationError(f"{path}: unknown key {unknown[0]!r}; deploy/trainer.toml shows every key")
    return values


def load_settings(**given: Any) -> TrainerSettings:
    """Return the settings; ConfigurationError with one line that says which value is wrong."""
    return load(TrainerSettings, **given)


def changed(settings: TrainerSettings) -> dict[str, Any]:
    """Return the settings of the training that are not the default's, by name."""
    fields = TrainerSettings.model_fields
    return {
        name: getattr(settings, name)
        for name in fields
        if name in config_keys() and getattr(settings, name) != fields[name].default
    }


def toml_of(values: Mapping[str, Any]) -> str:
    """Return values as the file that `train --config` reads: JSON's numbers, strings and lists are TOML's, too.

    >>> print(toml_of({"train_decays": (0.0, 0.8), "train_loss": "bce"}), end="")
    train_decays = [0.0, 0.8]
    train_loss = "bce"
    """
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items())
