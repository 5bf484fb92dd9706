"""A model from interactions: NeuMF, its index and item-item weights, beside the text of the courses."""

from collections.abc import Callable

from recommender.blend import DEFAULT_BLEND, Blend
from recommender.index import Index
from recommender.model import Model, Text
from trainer.fit import fit_neumf, newest
from trainer.interactions import Interactions
from trainer.item_item import fit_item_item
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
    rows = newest(interactions, interactions.before(until_us), settings.train_max_targets)
    ease = fit_item_item(interactions, rows, interactions.taken_before(until_us), settings, seed, lambda: progress(1.0))
    index, taken = Index.build(neumf).to_bytes(), interactions.anybody_took(until_us)
    return Model(interactions.course_ids, text, blend, neumf, ease, index, taken=taken)
