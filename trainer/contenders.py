"""The models that an evaluation compares: each a set of fitted parts and a blend, served by the same `Recommender`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

import numpy as np

from recommender.blend import Blend
from recommender.index import Index
from recommender.model import Ease, Model, NeuMF, Text
from recommender.neighbours import Neighbours
from recommender.popularity import Popularity
from recommender.recommend import Recommender, prepare
from schemas.candidates import COMPONENTS
from schemas.courses import Course
from trainer.blend import choices_of, fit_blend
from trainer.cases import Block
from trainer.fit import fit_neumf, newest
from trainer.interactions import Interactions
from trainer.item_item import fit_item_item
from trainer.settings import TrainerSettings
from trainer.split import Split
from trainer.stopping import Validation

EASE_ALONE: Final = {"ease_lambda": 200.0, "ease_decay": 0.9, "ease_next_weight": 0.0}
"""Settings of the plain EASE that others can be compared with: ridge 200, a history that decays by 0.9 a course."""


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


class Contender(NamedTuple):
    """What a model is made of. Without a blend of its own it gets one that is fitted on validation."""

    parts: tuple[Part, ...] = ()
    blend: Blend | None = None


CONTENDERS: Final[Mapping[str, Contender]] = {
    "popular": Contender(blend=only("popular")),
    "content": Contender(blend=only("content")),
    "ease": Contender((Part.EASE,), only("item_item")),
    "neumf": Contender((Part.NEUMF,), only("collaborative", empty="collaborative")),
    "hybrid": Contender((Part.NEUMF, Part.ITEM_ITEM)),
}
"""All models by name. `hybrid` is what the trainer publishes."""


@dataclass
class Fitter:
    """Fits contenders on the enrolments before a moment; parts that several of them share are fitted once."""

    interactions: Interactions
    text: Text
    catalogue: Mapping[str, Course]
    settings: TrainerSettings
    seed: int
    ease_alone: Mapping[str, float] = field(default_factory=lambda: EASE_ALONE)
    _fitted: dict[tuple[Part, int], NeuMF | Ease] = field(default_factory=dict)
    _epochs: int | None = None
    _content: Neighbours | None = None

    def _part(self, part: Part, until_us: int) -> NeuMF | Ease:
        key = part, until_us
        if key not in self._fitted:
            self._fitted[key] = self._fit(part, until_us)
        return self._fitted[key]

    def _fit(self, part: Part, until_us: int) -> NeuMF | Ease:
        settings, interactions = self.settings, self.interactions
        if part is Part.NEUMF:
            return fit_neumf(interactions, settings, self.seed, _in_silence, until_us, self._epochs)
        if part is Part.EASE:
            settings = settings.model_copy(update=self.ease_alone)
        rows = newest(interactions, interactions.before(until_us), settings.train_max_targets)
        return fit_item_item(interactions, rows, interactions.taken_before(until_us), settings)

    def _stop_early(self, split: Split) -> None:
        """Fit the network on what came before the validation part, and keep the number of epochs that suits that."""
        stopping = Validation.of(self.interactions, split, self.settings, self.seed)
        early = fit_neumf(
            self.interactions, self.settings, self.seed, _in_silence, split.validation_us, validation=stopping
        )
        self._fitted[Part.NEUMF, split.validation_us] = early
        self._epochs = stopping.epochs if stopping else None

    def _model(self, contender: Contender, until_us: int, blend: Blend | None) -> Model:
        parts = {part: self._part(part, until_us) for part in contender.parts}
        neumf, ease = parts.get(Part.NEUMF), parts.get(Part.ITEM_ITEM) or parts.get(Part.EASE)
        return Model(
            self.interactions.course_ids,
            self.text,
            blend or only("popular"),
            neumf if isinstance(neumf, NeuMF) else None,
            ease if isinstance(ease, Ease) else None,
            Index.build(neumf).to_bytes() if isinstance(neumf, NeuMF) else None,
        )

    def _recommender(self, contender: Contender, until_us: int, blend: Blend | None) -> Recommender:
        prepared = prepare(self._model(contender, until_us, blend), self._content)
        self._content = prepared.content  # all have the same text
        return Recommender(prepared, self.catalogue, Popularity())

    def fit(self, names: Sequence[str], until_us: int, validation_us: int, validation: Iterable[Block]) -> "Fitted":
        """Return the contenders fitted on what came before `until_us`, as the trainer fits what it publishes.

        The number of epochs, and the blend of `hybrid`, are those that suit what followed `validation_us`, with models
        of what was before it; `validation` are cases from then on.
        """
        self._fitted = {}
        if any(Part.NEUMF in CONTENDERS[name].parts for name in names):
            self._stop_early(Split(validation_us, until_us))
        blends = {name: CONTENDERS[name].blend for name in names}
        for name in names:
            if blends[name] is None:
                early = self._recommender(CONTENDERS[name], validation_us, None)
                blends[name] = fit_blend(choices_of(early, validation))
        return {name: self._recommender(CONTENDERS[name], until_us, blends[name]) for name in names}


Fitted = dict[str, Recommender]


def _in_silence(_done: float) -> None:
    """Take no notice of progress."""
