"""A model from interactions: NeuMF, its index and EASE, beside the text of the courses."""

from collections.abc import Callable

from recommender.blend import DEFAULT_BLEND, Blend
from recommender.index import Index
from recommender.model import Model, Text
from trainer.ease import fit_ease, ridge_of
from trainer.fit import fit_neumf
from trainer.interactions import Interactions
from trainer.settings import TrainerSettings


def fit_model(
    interactions: Interactions,
    text: Text,
    settings: TrainerSettings,
    seed: int,
    progress: Callable[[float], None],
    until_us: int | None = None,
    blend: Blend = DEFAULT_BLEND,
) -> Model:
    """Return the model of the enrolments before a moment (None: all); it knows every course all the same."""
    neumf = fit_neumf(interactions, settings, seed, progress, until_us)
    taken = interactions.taken_before(until_us)
    ridge = settings.ease_lambda or ridge_of(taken.nnz)
    ease = fit_ease(taken, ridge, settings.ease_max_courses)
    return Model(interactions.course_ids, text, blend, neumf, ease, Index.build(neumf).to_bytes())
