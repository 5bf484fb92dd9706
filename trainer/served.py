"""Models that are served: fitted parts and a blend, run by the very `Recommender` that the stream runs."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

import numpy as np

from recommender import shared
from recommender.blend import Blend
from recommender.bundle import read_model, save_model
from recommender.history import Learner
from recommender.index import Index
from recommender.listing import Recommendation
from recommender.model import Floats, Model
from recommender.recommend import Recommender, prepare
from schemas.candidates import COMPONENTS, Candidate
from schemas.events import AnyEvent
from trainer.blend import choices_of, fit_blend
from trainer.known import Known


class Part(StrEnum):
    """What takes a fit."""

    NEUMF = "neumf"
    ITEM_ITEM = "item_item"
    EASE = "ease"


def only(component: str, empty: str = "popular") -> Blend:
    """Return the blend that goes by one component, and by another while the history is empty.

    >>> only("content").rows(np.array([0, 5])).tolist()
    [[0.0, 0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 1.0, 0.0, 0.0]]
    """
    rows = [[float(name == chosen) for name in COMPONENTS] for chosen in (empty, component)]
    return Blend((0, 1), np.array(rows, dtype=np.float32))


class Served:
    """A served model. Without a blend of its own it gets one that is fitted on validation."""

    def __init__(self, *parts: Part, blend: Blend | None = None) -> None:
        self._parts, self._blend = parts, blend

    @property
    def course_ids(self) -> tuple[str, ...]:
        """Ids of all n courses, in the order of `scores`."""
        return self._recommender.course_ids

    def fit(self, known: Known) -> None:
        """Fit the parts, and the blend on what they were without the validation."""
        blend = self._blend
        if blend is None:
            self._serve(self._model(known, only("popular"), before_validation=True), known)
            blend = fit_blend(choices_of(self._recommender, known.validation))
        self._serve(self._model(known, blend), known)

    def _model(self, known: Known, blend: Blend, before_validation: bool = False) -> Model:
        neumf = known.neumf(before_validation) if Part.NEUMF in self._parts else None
        ease = known.ease() if Part.EASE in self._parts else None
        if Part.ITEM_ITEM in self._parts:
            ease = known.item_item(before_validation)
        index = Index.build(neumf).to_bytes() if neumf else None
        taken = known.interactions.anybody_took(known.validation_us if before_validation else known.until_us)
        return Model(known.interactions.course_ids, known.text, blend, neumf, ease, index, taken=taken)

    def _serve(self, model: Model, known: Known) -> None:
        self._population, self._popularity = known.population, known.population.popularity()
        self._recommender = Recommender(prepare(model, known.content), known.catalogue, self._popularity)

    def learn(self, event: AnyEvent) -> None:
        """Count it in popularity."""
        self._population.apply(event)

    def _now(self) -> Recommender:
        """Return the recommender with popularity as it is now."""
        popularity = self._population.popularity()
        if popularity is not self._popularity:
            self._popularity = popularity
            self._recommender = self._recommender.with_popularity(popularity)
        return self._recommender

    def recommend(self, learners: Sequence[Learner], limit: int) -> list[Recommendation]:
        """Return the lists that would be served now."""
        return self._now().recommend(learners, limit)

    def scores(self, learners: Sequence[Learner]) -> Floats:
        """Return the blended scores with the whole catalogue as candidates, (B, n)."""
        return self._now().scores(learners)

    def similar(self, course_id: str, limit: int) -> tuple[Candidate, ...]:
        """Return the list of similar courses that would be served."""
        return shared.similar(self._now(), [course_id], limit)[course_id]

    def save(self, folder: Path) -> None:
        """Write the files of a bundle."""
        save_model(folder, self._recommender.universe.prepared.model)

    def load(self, folder: Path, known: Known) -> None:
        """Serve the files of a bundle."""
        self._serve(read_model(folder, {path.name for path in folder.iterdir()}), known)
