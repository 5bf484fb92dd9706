"""Which models lists are made with that were made with an erased learner."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cli.erasing_models import ModelErasure, Refits
from schemas.control import ControlRecord, ModelPromoted, ModelPublished, encode_control
from schemas.experiments import Arm, ExperimentEnded, ExperimentStarted
from schemas.topics import LEARNER_EVENTS
from stream.erasure import Erasure

KNOWN_AT = 5
"""Models that read further than this were made with the learner."""


def published(version: str, end: int) -> ModelPublished:
    """Return a model that was made from the log up to here."""
    return ModelPublished(version=version, digest=version, offsets={LEARNER_EVENTS: [end]})


def looking(*records: ControlRecord) -> ModelErasure:
    """Return who looks at the models after these decisions."""
    control = Refits("nowhere")
    for offset, record in enumerate(records):
        control.state = control.state.apply(encode_control(record), offset, offset)
    log: Any = SimpleNamespace(is_known_before=lambda end: end > KNOWN_AT)
    system: Any = SimpleNamespace(state_dir=Path("nowhere"))
    return ModelErasure(system, control, Erasure("u", 0, 9, 1), log, wait_model=True)


ARMS = (Arm(name="live", share=0.5), Arm(name="old", model="old", share=0.5))
STARTED = ExperimentStarted(name="x", salt="s", arms=ARMS)


@pytest.mark.parametrize(
    ("end", "decisions", "state", "said"),
    [
        (9, [STARTED], "pending", "made with him, arms of an experiment are served until it ends: old"),
        (9, [STARTED, ExperimentEnded(name="x")], "done", "live is new, made without the learner"),
        (3, [STARTED], "done", "live is new, made without the learner"),
    ],
)
async def test_a_model_of_an_arm_is_told_as_long_as_it_is_served(
    end: int, decisions: list[ControlRecord], state: str, said: str
) -> None:
    models = published("old", end), published("new", 3), ModelPromoted(version="new")
    seen = await looking(*models, *decisions).in_model()
    assert seen.state == state and said in seen.proof
