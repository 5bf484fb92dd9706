"""What lists are made with: the live model, the catalogue and the popularity, taken in as one."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from adapters.bundles import BundleStore
from adapters.follow import Catalogue, ControlLog
from recommender.bundle import check_catalogue, load_model
from recommender.popularity import Popularity, popularity_of
from recommender.recommend import Recommender
from recommender.universe import Prepared, prepare
from schemas.control import ModelPublished
from schemas.errors import BundleError

logger: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class Serving:
    """One recommender and what it was made from; lists never mix two of them."""

    recommender: Recommender
    model_epoch: int
    catalogue_epoch: int

    @property
    def epochs(self) -> tuple[int, int]:
        """The parts of a list's version that do not depend on the learner."""
        return self.model_epoch, self.catalogue_epoch


class ServingRoom:
    """Keeps `current` up with `control`, the catalogue and the counts. None as long as no bundle was loaded."""

    def __init__(self, store: BundleStore, control: ControlLog, catalogue: Catalogue) -> None:
        self._store = store
        self._control = control
        self._catalogue = catalogue
        self._prepared: Prepared | None = None
        self._popularity: Popularity = popularity_of({})
        self._model_epoch = -1
        self.current: Serving | None = None
        self.load_failures = 0

    def is_model_due(self) -> bool:
        """Whether a model is live that was not loaded yet."""
        return bool(self._control.state.model_version) and self.current is None

    def take_counts(self, counts: dict[str, dict[int, int]]) -> None:
        """Take in current enrolments by course and day."""
        self._popularity = popularity_of(counts)
        if self.current:
            recommender = self.current.recommender.with_popularity(self._popularity)
            self.current = replace(self.current, recommender=recommender)

    def _load(self, published: ModelPublished) -> Prepared:
        model = load_model(self._store.fetch(published.version), published.digest)
        check_catalogue(model, self._catalogue.courses)
        return prepare(model)

    async def load_model(self) -> None:
        """Load the live bundle beside the old one; if it can't be loaded the old one stays."""
        state = self._control.state
        if not state.model_version or state.model_epoch == self._model_epoch:
            return
        try:
            self._prepared = await asyncio.to_thread(self._load, state.models[state.model_version].record)
        except (BundleError, OSError, ValueError) as error:
            self.load_failures += 1
            logger.error("ALARM: model %s is not taken: %s", state.model_version, error)
            return
        self._model_epoch = state.model_epoch
        logger.info("model %s is loaded", state.model_version)

    async def refresh(self) -> None:
        """Make `current` from the newest model and catalogue."""
        await self.load_model()
        epochs = (self._model_epoch, self._catalogue.epoch)
        if self._prepared is None or (self.current and self.current.epochs == epochs):
            return
        catalogue = dict(self._catalogue.courses)
        recommender = await asyncio.to_thread(Recommender, self._prepared, catalogue, self._popularity)
        self.current = Serving(recommender.with_popularity(self._popularity), *epochs)

    async def run(self, interval_s: float, changed: Callable[[], None]) -> None:
        """Follow for ever: at once when a model is promoted, at most every `interval_s` for the catalogue."""
        wake = asyncio.Event()
        self._control.on_change(wake.set)
        while True:
            before = self.current
            await self.refresh()
            if self.current is not before:
                changed()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(wake.wait(), interval_s)
            wake.clear()
