"""What tests have torchrun start: a network of the checkerboard campus, fitted twice, with its arrays in a file.

`python -m tests.torchrun_fit OUT [dies]`: the second process ends in the midst of it.
"""

import os
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np

from recommender.model import NeuMF
from tests.unit.trainer.campus import checkerboard, courses, log_of
from trainer.fit import fit_neumf, follow
from trainer.interactions import Interactions, interactions_of
from trainer.processes import rank, together, told
from trainer.settings import TrainerSettings
from trainer.split import split_by_time
from trainer.stopping import Validation


def campus() -> Interactions:
    """Return who took what."""
    log = log_of(checkerboard(), courses())
    return interactions_of(log.events, log.courses)


def fit() -> tuple[NeuMF, float]:
    """Return the network of the best epoch, and its NDCG@10 on the validation."""
    settings, interactions = TrainerSettings(train_dimensions=16, train_epochs=8, train_patience=8), campus()
    validation = Validation.of(interactions, split_by_time(interactions), settings, 1)
    assert validation is not None
    return fit_neumf(interactions, settings, 1, _in_silence, validation=validation), max(validation.scores)


def _in_silence(_done: float) -> None:
    """Take no notice of progress."""


def _end(_done: float) -> None:
    """End as a crash would."""
    os._exit(3)


def main(out: Path, dies: bool) -> None:
    """Fit with the processes beside this one."""
    with together():
        if rank():
            follow(_end if dies else _in_silence)
            return
        fits = fit(), fit()
        told(None)
        arrays = {f"{i}/{name}": array for i, (neumf, _) in enumerate(fits) for name, array in asdict(neumf).items()}
        np.savez(out, ndcg=fits[0][1], **arrays)


if __name__ == "__main__":
    main(Path(sys.argv[1]), "dies" in sys.argv)
