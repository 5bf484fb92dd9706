"""A model for many courses: item-item weights fitted, network and texts drawn, courses and their vectors by topics."""

import time
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch

from bench.processes import peak_mb, reset_peak
from bench.search import vectors
from bench.training import SEED
from recommender.content import fit_text
from recommender.index import Index
from recommender.model import Ease, Model, NeuMF, Rows
from trainer.interactions import Interactions
from trainer.item_item import fit_item_item
from trainer.network import HistoryNeuMF
from trainer.settings import TrainerSettings

_WORDS: Final = 2_000
_WORDS_A_TEXT: Final = 8
_NEIGHBOURS: Final = 200


class Fitted(NamedTuple):
    """Item-item weights, the CPU seconds of their fit, and the megabytes that it added to the process at its peak."""

    ease: Ease
    spent_s: float
    peak_mb: float


def fitted(found: Interactions) -> Fitted:
    """Return the item-item weights of these enrolments."""
    held, began = reset_peak(), time.process_time()
    ease = fit_item_item(found, found.before(None), found.taken_before(), TrainerSettings(), SEED)
    return Fitted(ease, time.process_time() - began, peak_mb() - held)


def drawn_weights(num_courses: int) -> Fitted:
    """Return as many weights as a fit keeps, drawn: lists cost no less with them, and a fit of 200,000 takes long."""
    random = np.random.default_rng(SEED)
    columns = np.sort(random.integers(num_courses, size=(num_courses, _NEIGHBOURS)).astype(np.int32), axis=1)
    data = random.normal(0.02, 0.1, columns.size).astype(np.float32)
    starts = np.arange(num_courses + 1, dtype=np.int64) * _NEIGHBOURS
    return Fitted(Ease(Rows(starts, columns.ravel(), data, num_courses)), 0.0, 0.0)


def model_of(course_ids: tuple[str, ...], ease: Ease) -> Model:
    """Return the whole model."""
    settings, words = TrainerSettings(), np.random.default_rng(SEED)
    torch.manual_seed(SEED)
    network = HistoryNeuMF(len(course_ids), settings.train_dimensions, len(settings.train_decays)).arrays()
    topical, size = vectors(len(course_ids), 1)[0], network["gmf_course"].std()
    network["gmf_course"] = topical * (size / topical.std()).astype(np.float32)
    network["gmf_out"] = np.ones_like(network["gmf_out"])  # 0 before a training: all courses alike
    neumf = NeuMF(decays=np.array(settings.train_decays, dtype=np.float32), **network)
    text = fit_text([" ".join(f"word{i}" for i in words.integers(_WORDS, size=_WORDS_A_TEXT)) for _ in course_ids])
    return Model(course_ids, text, neumf=neumf, ease=ease, index=Index.build(neumf).to_bytes())


def size_mb(folder: Path) -> float:
    """Return the megabytes of the files in a folder."""
    return sum(path.stat().st_size for path in folder.iterdir()) / 1e6
