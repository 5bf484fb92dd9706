"""A model from interactions: NeuMF, its index and EASE, beside the text of the courses."""

from collections.abc import Callable

from recommender.blend import DEFAULT_BLEND, Blend
from recommender.index import Index
from recommender.model import Model, Text
from trainer.ease import fit_ease, ridge_of
from trainer.fit import fit_neumf
from trainer.interactions import Interactions
from trainer.settings import TrainerSettings
from trainer.stopping import Validation


def fit_model(
    interactions: Interactions,
    text: Text,
    settings: TrainerSettings,
    seed: int,
    progress: Callable[[float], None],
    until_us: int | None = None,
    blend: Blend = DEFAULT_BLEND,
    epochs: int | None = None,
    validation: Validation | None = None,
) -> Model:
    """Return the model of the enrolments before a moment (None: all); it knows every course all the same.

    `epochs` and `validation` say when the network's training ends, as in `fit_neumf`.
    """
    neumf = fit_neumf(interactions, settings, seed, progress, until_us, epochs, validation)
    taken = interactions.taken_before(until_us)
    ridge = settings.ease_lambda or ridge_of(taken.nnz)
    ease = fit_ease(taken, ridge, settings.ease_max_courses)
    return Model(interactions.course_ids, text, blend, neumf, ease, Index.build(neumf).to_bytes())
