"""Settings of the trainer: one frozen class, read once from the environment."""

from pathlib import Path

from pydantic import Field

from schemas.settings import Connections


class TrainerSettings(Connections):
    """When the model is refitted, how it is trained, and where Kafka and the bundles are."""

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
    train_dimensions: int = Field(default=64, ge=4, le=512, description="Width d of the course and learner vectors.")
    train_epochs: int = Field(default=16, ge=1, description="Passes over the enrolments.")
    train_batch_pairs: int = Field(default=20_000, ge=100, description="Most learner-course pairs in a batch.")
    train_negatives: int = Field(default=4, ge=1, description="Courses not taken, drawn for each enrolment.")
    train_softmax_negatives: int = Field(
        default=512, ge=1, description="Courses an enrolment competes with in the softmax over the GMF logit."
    )
    train_learning_rate: float = Field(default=4e-3, gt=0, description="Adam's first learning rate; it falls to 5 %.")
    train_max_targets: int = Field(
        default=400_000, ge=1_000, description="At most so many enrolments, the newest, are trained on."
    )
    train_threads: int = Field(
        default=1, ge=1, description="Threads of a training: part of what fixes its digest; 2 were hardly faster."
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
        default=12_000, ge=2, description="EASE covers the most popular courses only; memory grows with the square."
    )
    evaluate_tests: int = Field(
        default=2_000, ge=10, description="At most so many enrolments, evenly spaced, are tested and fitted on."
    )
    ready_file: Path | None = Field(default=None, description="File that is written once the process does its work.")
