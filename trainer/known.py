"""Everything known until a moment, and the parts fitted on it that several models share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

from recommender.model import Ease, Model, NeuMF, Text
from recommender.neighbours import Neighbours
from recommender.universe import Universe, prepare
from schemas.courses import Course
from trainer.cases import Block
from trainer.fit import fit_neumf, newest
from trainer.interactions import Interactions
from trainer.item_item import fit_item_item
from trainer.population import Population
from trainer.settings import TrainerSettings
from trainer.split import Split
from trainer.stopping import Validation

EASE_ALONE: Final = {"ease_lambda": 200.0, "ease_decay": 0.9, "ease_next_weight": 0.0}
"""Settings of the plain EASE that others can be compared with: ridge 200, a history that decays by 0.9 a course."""


@dataclass(frozen=True, eq=False)
class Known:
    """What models are fitted on. Of `interactions` only what is before `until_us` is used.

    What suits best is chosen on what followed `validation_us`, with models of what was before it; then all is used.
    """

    interactions: Interactions
    text: Text
    content: Neighbours  # of `text`
    catalogue: Mapping[str, Course]
    settings: TrainerSettings
    seed: int
    until_us: int
    validation_us: int
    validation: Sequence[Block]  # cases from `validation_us` on
    population: Population
    """The learners as they stand; all models of one fit share it: an event is a join, and may be taken in again."""
    ease_alone: Mapping[str, float] = field(default_factory=lambda: EASE_ALONE)

    @property
    def split(self) -> Split:
        """Where the validation begins and ends."""
        return Split(self.validation_us, self.until_us)

    def under(self, changes: Mapping[str, Any]) -> "Known":
        """Return the same under other settings."""
        changed = replace(self, settings=self.settings.model_copy(update=dict(changes)))
        return changed if any(name.startswith("train_") for name in changes) else self.sharing_network(changed)

    def sharing_network(self, other: "Known") -> "Known":
        """Return another, whose network is this one's: nothing that it is trained on differs."""
        other.__dict__.update(_stopped=self._stopped, _neumf=self._neumf)
        return other

    @cached_property
    def universe(self) -> Universe:
        """The courses as serving sees them, with no model but their text."""
        return Universe(prepare(Model(self.interactions.course_ids, self.text), self.content), self.catalogue)

    @cached_property
    def _stopped(self) -> tuple[NeuMF, int | None]:
        """The network of what was before the validation, and the epochs after which it was best."""
        interactions, settings, seed = self.interactions, self.settings, self.seed
        stopping = Validation.of(interactions, self.split, settings, seed)
        neumf = fit_neumf(interactions, settings, seed, _in_silence, self.validation_us, validation=stopping)
        return neumf, stopping.epochs if stopping else None

    def neumf(self, before_validation: bool = False) -> NeuMF:
        """Return the network, as the trainer fits what it publishes."""
        return self._stopped[0] if before_validation else self._neumf

    @cached_property
    def _neumf(self) -> NeuMF:
        epochs = self._stopped[1]
        return fit_neumf(self.interactions, self.settings, self.seed, _in_silence, self.until_us, epochs)

    def item_item(self, before_validation: bool = False) -> Ease:
        """Return the item-item weights, as the trainer fits what it publishes."""
        return self._weights(self.settings, self.validation_us if before_validation else self.until_us)

    def ease(self) -> Ease:
        """Return plain EASE."""
        return self._weights(self.settings.model_copy(update=self.ease_alone), self.until_us)

    def _weights(self, settings: TrainerSettings, until_us: int) -> Ease:
        rows = newest(self.interactions, self.interactions.before(until_us), settings.train_max_targets)
        taken = self.interactions.taken_before(until_us)
        return fit_item_item(self.interactions, rows, taken, settings, self.seed)


def _in_silence(_done: float) -> None:
    """Take no notice of progress."""
