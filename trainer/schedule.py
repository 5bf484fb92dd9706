"""When to train, and what: a function of what was seen of the log, of the models and of the last attempt."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from trainer.settings import TrainerSettings

CATALOGUE_GROWTH: Final = 1.5
"""A bootstrap bundle is made again when `courses` has so many times the records that it was made from."""

_CATALOGUE_CALM_S: Final = 0.5
_CATALOGUE_MAX_WAIT_S: Final = 5.0
_NEVER: Final = float("-inf")


class Job(StrEnum):
    """What is due."""

    BOOTSTRAP = "bootstrap"
    TRAIN = "training"


class Live(StrEnum):
    """What kind of model is live."""

    NONE = "none"
    BOOTSTRAP = "bootstrap"
    TRAINED = "trained"


@dataclass
class Growth:
    """How many records a topic has had, and since when it stands still. Seconds are monotonic."""

    count: int = 0
    changed_s: float = _NEVER
    wanted_since_s: float | None = None

    def see(self, count: int, now_s: float) -> None:
        """Take in how many records there are now."""
        if count != self.count:
            self.count, self.changed_s = count, now_s

    def settled(self, enough: bool, now_s: float, calm_s: float, max_wait_s: float) -> bool:
        """Return whether there is enough, and the topic stands still or was waited for long enough."""
        if not enough:
            self.wanted_since_s = None
            return False
        if self.wanted_since_s is None:
            self.wanted_since_s = now_s
        return now_s - self.changed_s >= calm_s or now_s - self.wanted_since_s >= max_wait_s


@dataclass
class Schedule:
    """Decides what is due. Its fields are what was seen last; counts are of records, seconds are monotonic."""

    settings: TrainerSettings
    events: Growth = field(default_factory=Growth)
    courses: Growth = field(default_factory=Growth)
    live: Live = Live.NONE
    live_since_s: float = _NEVER
    live_courses: int = 0
    trained_events: int = 0
    requested: bool = False
    attempted_events: int = 0
    attempted_courses: int = 0
    ended_s: float = _NEVER
    retry_at_s: float = _NEVER

    def due(self, now_s: float) -> Job | None:
        """Return what to do now, if anything."""
        if self.requested:
            return Job.TRAIN
        if now_s < self.retry_at_s:
            return None
        if self.live is Live.TRAINED:
            return Job.TRAIN if self._refit_due(now_s) else None
        if self._first_due(now_s):
            return Job.TRAIN
        return Job.BOOTSTRAP if self._bootstrap_due(now_s) else None

    def _refit_due(self, now_s: float) -> bool:
        """Enough events are new, or some are and the time has come."""
        new = self.events.count - max(self.trained_events, self.attempted_events)
        since_s = now_s - max(self.live_since_s, self.ended_s)
        return new >= self.settings.refit_events or (new > 0 and since_s >= self.settings.refit_minutes * 60)

    def _first_due(self, now_s: float) -> bool:
        """There may be enough for a first model: as many events as enrolments are wanted.

        After an attempt that brought none: a fifth more, or a few once the time for a refit has come.
        """
        has_rested = now_s - self.ended_s >= self.settings.refit_minutes * 60
        wanted = max(self.settings.min_enrolments, 0 if has_rested else self.attempted_events * 6 // 5)
        enough = self.events.count >= wanted and self.events.count > self.attempted_events
        return self.events.settled(enough, now_s, self.settings.calm_seconds, self.settings.calm_max_wait_seconds)

    def _bootstrap_due(self, now_s: float) -> bool:
        """No model is live although courses are there, or they are many more than the bootstrap bundle knows."""
        known = max(self.live_courses, self.attempted_courses)
        return self.courses.settled(
            self.courses.count > known * CATALOGUE_GROWTH, now_s, _CATALOGUE_CALM_S, _CATALOGUE_MAX_WAIT_S
        )
