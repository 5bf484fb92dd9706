"""What lists are made with: the live model, those of arms, the catalogue and the popularity, taken in as one."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from adapters.bundles import BundleStore
from adapters.follow import Catalogue, ControlLog
from recommender.bundle import check_catalogue, load_model
from recommender.popularity import Popularity, popularity_of
from recommender.recommend import Recommender
from recommender.universe import Prepared, prepare
from schemas.control import ControlState, ModelPublished
from schemas.courses import Course
from schemas.errors import BundleError
from stream.arms import NOBODY, ArmModels, Refuse, Split, split_of
from stream.attempts import Attempts

logger: Final = logging.getLogger(__name__)


class ListModel(NamedTuple):
    """What one learner's list is made with, and the parts of its version that say so."""

    recommender: Recommender
    epochs: tuple[int, int]


@dataclass(frozen=True)
class Serving:
    """One recommender and what it was made from, and those of arms by version; lists never mix two of them."""

    recommender: Recommender
    model_epoch: int
    catalogue_epoch: int
    split: Split = NOBODY
    of_arms: Mapping[str, Recommender] = field(default_factory=dict)

    @property
    def epochs(self) -> tuple[int, int]:
        """The parts of the version of shared lists, and of those of learners whom no experiment concerns."""
        return self.model_epoch, self.catalogue_epoch

    @property
    def swept(self) -> str:
        """What a sweep brings lists to, in the words of `Meta.sweep`."""
        return f"{self.model_epoch}{self.split} {self.catalogue_epoch}"

    def waits(self, user_id: str) -> bool:
        """Whether a learner's list is to be left as it stands."""
        return self.split.waits(user_id, self.model_epoch)

    def of(self, user_id: str) -> ListModel:
        """Return what a learner's list is made with."""
        if own := self.split.model_of(user_id):
            version, epoch = own
            return ListModel(self.of_arms[version], (epoch, self.catalogue_epoch))
        epoch = max(self.model_epoch, self.split.back_epoch(user_id))
        return ListModel(self.recommender, (epoch, self.catalogue_epoch))


class ServingRoom:
    """Keeps `current` up with `control`, the catalogue and the counts. None as long as no bundle was loaded."""

    def __init__(
        self, store: BundleStore, control: ControlLog, catalogue: Catalogue, refuse: Refuse | None = None
    ) -> None:
        self._store = store
        self._control = control
        self._catalogue = catalogue
        self._prepared: Prepared | None = None
        self._popularity: Popularity = popularity_of({})
        self._model_epoch, self._version = -1, ""
        self._arms = ArmModels(self._prepare, refuse)
        self._refused_epoch = -1
        self._attempts = Attempts()  # at the model of that epoch
        self.current: Serving | None = None
        self.load_failures = 0
        self.is_loading = False

    def is_model_due(self) -> bool:
        """Whether a model is live that was not loaded yet."""
        return bool(self._control.state.model_version) and self.current is None

    @property
    def is_behind(self) -> bool:
        """Whether the live model was refused, so that lists are made with an older one or none."""
        epoch = self._control.state.model_epoch
        return epoch == self._refused_epoch and epoch != self._model_epoch

    @property
    def num_missing(self) -> int:
        """How many models of the experiment that runs lists are not made with."""
        experiment = self._control.state.experiment
        named = {arm.model for arm in experiment.record.arms if arm.model} if experiment else set[str]()
        return len(named - self.current.split.versions) if self.current else len(named)

    def take_counts(self, counts: dict[str, dict[int, int]]) -> None:
        """Take in current enrolments by course and day."""
        self._popularity = popularity_of(counts)
        if self.current:
            recommender = self.current.recommender.with_popularity(self._popularity)
            of_arms = {name: one.with_popularity(self._popularity) for name, one in self.current.of_arms.items()}
            self.current = replace(self.current, recommender=recommender, of_arms=of_arms)

    def _load(self, published: ModelPublished) -> Prepared:
        model = load_model(self._store.fetch(published.version), published.digest)
        check_catalogue(model, self._catalogue.courses)
        return prepare(model)

    @contextmanager
    def _loading(self) -> Iterator[None]:
        self.is_loading = True
        try:
            yield
        finally:
            self.is_loading = False

    async def load_model(self) -> None:
        """Load the live bundle beside the old one; if it can't be loaded the old one stays.

        Without an old one, as after a restart, that is the newest that was live before and can be loaded.
        """
        state = self._control.state
        if not state.model_version or state.model_epoch == self._model_epoch:
            return
        if state.model_epoch == self._refused_epoch and not self._attempts.is_due:
            return
        if await self._take(state.model_epoch, state.model_version):
            return
        self._wait_longer(state.model_epoch)
        if self._prepared is None:
            await self._fall_back(state)

    async def _take(self, epoch: int, version: str) -> bool:
        """Load a model that is or was live from this epoch on; answer whether it could be."""
        try:
            self._prepared = await self._prepare(version)
        except BundleError:
            return False
        self._model_epoch, self._version = epoch, version
        return True

    async def _prepare(self, version: str) -> Prepared:
        """Return a published model, loaded unless it is; BundleError and an alarm if it can't be."""
        known = self._prepared if version == self._version else self._arms.prepared.get(version)
        if known:
            return known
        try:
            with self._loading():
                prepared = await asyncio.to_thread(self._load, self._control.state.models[version].record)
        except Exception as error:  # whatever it holds, made by whichever code: the worker goes on with what it has
            self.load_failures += 1
            logger.error("ALARM: model %s is not taken: %s", version, error)
            raise BundleError(str(error)) from error
        logger.info("model %s is loaded", version)
        return prepared

    def _wait_longer(self, epoch: int) -> None:
        """Put off the next attempt at a model that was refused."""
        before = self._attempts if epoch == self._refused_epoch else Attempts()
        self._refused_epoch, self._attempts = epoch, before.after_failure()

    async def _fall_back(self, state: ControlState) -> None:
        """Take the newest earlier model that can be loaded, under the epoch that it was live with."""
        tried = {state.model_version}
        for epoch, version in reversed(state.lives):
            if version not in tried and await self._take(epoch, version):
                logger.error("ALARM: lists are made with %s until %s can be loaded", version, state.model_version)
                return
            tried.add(version)

    async def refresh(self) -> None:
        """Make `current` from the newest models and catalogue."""
        await self.load_model()
        if self._prepared is None:
            return
        state = self._control.state
        await self._arms.follow(state, may_refuse=not self.is_behind)
        prepared = self._arms.prepared
        epochs, split = (self._model_epoch, self._catalogue.epoch), split_of(state, self._model_epoch, prepared.keys())
        if self.current and (self.current.epochs, self.current.split) == (epochs, split):
            return
        catalogue = dict(self._catalogue.courses)
        with self._loading():
            recommender = await asyncio.to_thread(self._made, self._prepared, catalogue)
            made = {name: await asyncio.to_thread(self._made, prepared[name], catalogue) for name in split.versions}
        of_arms = {name: one.with_popularity(self._popularity) for name, one in made.items()}
        self.current = Serving(recommender.with_popularity(self._popularity), *epochs, split, of_arms)

    def _made(self, prepared: Prepared, catalogue: Mapping[str, Course]) -> Recommender:
        return Recommender(prepared, catalogue, self._popularity)

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
