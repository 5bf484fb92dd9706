"""Models of an experiment's arms: loaded beside the live one, and whose lists are made with which."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Set
from dataclasses import dataclass
from typing import Final

from recommender.universe import Prepared
from schemas.control import ControlState
from schemas.errors import BundleError
from schemas.experiments import ArmModelRefused, Experiment, arm_of
from stream.attempts import Attempts

logger: Final = logging.getLogger(__name__)

TRIES: Final = 5
"""Attempts at a model within half a minute, each after twice the time; then it is refused for all workers and for good:
an arm whose lists are made now with this model and now with that one would tell nothing."""

Refuse = Callable[[ArmModelRefused], Awaitable[None]]


@dataclass(frozen=True)
class Split:
    """Whose lists are not made with the live model under its epoch.

    `experiment` is the one that runs, if arms of it have models, and `versions` are those of them that are loaded;
    learners of arms of `left` were given the live model again after it went live. So the epoch of a learner's lists
    rises whenever his model changes, and says which one it is (`ControlState.version_of`).
    """

    experiment: Experiment | None = None
    versions: frozenset[str] = frozenset()
    left: tuple[Experiment, ...] = ()

    def model_of(self, user_id: str) -> tuple[str, int] | None:
        """Return the model of a learner's arm and the epoch of lists made with it; None: the live one."""
        version = self.experiment.model_of(user_id) if self.experiment else ""
        return (version, self.experiment.epoch) if self.experiment and version in self.versions else None

    def waits(self, user_id: str, model_epoch: int) -> bool:
        """Whether a learner's arm has a model that is not loaded, which could not replace a list of the live one."""
        if self.experiment is None or model_epoch < self.experiment.epoch:
            return False
        wanted = self.experiment.model_of(user_id)
        return bool(wanted) and wanted not in self.versions

    def back_epoch(self, user_id: str) -> int:
        """Return the offset from which on a learner who was in an arm is given the live model again, or -1."""
        return max((one.back_epoch(arm_of(user_id, one)) for one in self.left), default=-1)

    def __str__(self) -> str:
        """Name the split in a few letters: another one is another sweep."""
        left = max((_last_back(one) for one in self.left), default="")
        started = self.experiment.epoch if self.experiment else ""
        return "" if self == NOBODY else f":{left}:{started}:{','.join(sorted(self.versions))}"


NOBODY: Final = Split()


def _last_back(experiment: Experiment) -> int:
    return max(experiment.back_epoch(arm) for arm in experiment.record.arms)


def split_of(state: ControlState, model_epoch: int, loaded: Set[str]) -> Split:
    """Return the split of a worker that has these models, and a live one of this epoch.

    Without the model that is live by `state`, nobody can be given that one again.
    """
    running, is_live = state.experiment, model_epoch == state.model_epoch
    left = tuple(one for one in state.experiments.values() if is_live and _last_back(one) > model_epoch)
    if running is None or not running.versions:
        return Split(left=left)
    return Split(running, running.versions & loaded, left)


class ArmModels:
    """The models that the experiment that runs names, as far as `prepare` can load them."""

    def __init__(self, prepare: Callable[[str], Awaitable[Prepared]], refuse: Refuse | None) -> None:
        self._prepare = prepare
        self._refuse = refuse
        self._attempts: dict[str, Attempts] = {}
        self.prepared: Mapping[str, Prepared] = {}

    async def follow(self, state: ControlState, may_refuse: bool) -> None:
        """Load what is named and due; forget what is named no more."""
        versions = state.experiment.versions if state.experiment else frozenset[str]()
        self.prepared = {version: one for version, one in self.prepared.items() if version in versions}
        self._attempts = {version: one for version, one in self._attempts.items() if version in versions}
        for version in sorted(versions - self.prepared.keys()):
            if state.experiment and self._attempts.get(version, Attempts()).is_due:
                await self._take(state.experiment.record.name, version, may_refuse)

    async def _take(self, experiment: str, version: str, may_refuse: bool) -> None:
        try:
            self.prepared = {**self.prepared, version: await self._prepare(version)}
        except BundleError as error:
            attempts = self._attempts[version] = self._attempts.get(version, Attempts()).after_failure()
            if self._refuse and may_refuse and attempts.failed >= TRIES:
                logger.error("ALARM: learners of arms with %s in %s are given the live model", version, experiment)
                await self._refuse(ArmModelRefused(experiment=experiment, version=version, reason=str(error)))
