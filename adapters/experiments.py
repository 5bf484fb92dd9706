"""What learners do in an experiment, added up in memory and now and then in Redis: soft, never in anybody's way."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from redis.exceptions import RedisError

from adapters.follow import ControlLog
from adapters.kafka import shard_of
from adapters.redis import Client, Script
from schemas.experiments import KEPT_DAYS, Experiment, arm_of, draw_of
from schemas.keys import ShardKeys

logger: Final = logging.getLogger(__name__)

INTERVAL_S: Final = 0.5
_ADD: Final = Script(Path(__file__).with_name("experiment.lua"))
_TTL_S: Final = KEPT_DAYS * 86_400
_CHUNK: Final = 500
"""Learners of a shard that are written at once."""


@dataclass
class Deeds:
    """What a learner did since it was last written. `hit`: whether the first test was one; None: no test."""

    lists: int = 0
    clicks: int = 0
    enrolments: int = 0
    hit: bool | None = None

    def add(self, lists: int, clicks: int, enrolments: int, hit: bool | None) -> None:
        """Add what the learner did next."""
        self.lists += lists
        self.clicks += clicks
        self.enrolments += enrolments
        self.hit = hit if self.hit is None else self.hit


class ExperimentCounts:
    """Counts what learners do, by experiment. What is not written yet is lost with the process: it is a sample."""

    def __init__(self, client: Client, control: ControlLog) -> None:
        self._client = client
        self._control = control
        self._deeds: dict[Experiment, dict[str, Deeds]] = {}
        self._erased: set[str] = set()

    def add(
        self,
        experiment: Experiment,
        user_id: str,
        *,
        lists: int = 0,
        clicks: int = 0,
        enrolments: int = 0,
        hit: bool | None = None,
    ) -> None:
        """Count what a learner did. It shows once the learner was given a list, and of `hit` only the first."""
        deeds = self._deeds.setdefault(experiment, {}).setdefault(user_id, Deeds())
        deeds.add(lists, clicks, enrolments, hit)

    def forget(self, user_id: str) -> None:
        """Forget an erased learner: what was added up stays, what could tell him apart goes."""
        for deeds in self._deeds.values():
            deeds.pop(user_id, None)
        self._erased.add(user_id)

    async def run(self) -> None:
        """Write what was counted, for ever."""
        while True:
            await asyncio.sleep(INTERVAL_S)
            await self.write()

    async def write(self) -> None:
        """Write what was counted. Not repeated when it fails; that somebody is to be forgotten is."""
        deeds, self._deeds = self._deeds, {}
        erased, self._erased = self._erased, set()
        try:
            for user_id in list(erased):
                await self._delete_marks(user_id)
                erased.remove(user_id)
            for experiment, learners in deeds.items():
                await self._write(experiment, learners)
        except RedisError as error:
            self._erased |= erased
            logger.warning("figures of an experiment were not written: %s", error)

    def _keys(self, user_id: str) -> ShardKeys:
        return ShardKeys(shard_of(user_id, self._control.state.partitions), 0)

    async def _delete_marks(self, user_id: str) -> None:
        keys = self._keys(user_id)
        for experiment in self._control.state.experiments.values():
            await self._client.hdel(keys.experiment_marks(experiment.epoch), draw_of(user_id, experiment))

    async def _write(self, experiment: Experiment, learners: Mapping[str, Deeds]) -> None:
        by_shard: dict[ShardKeys, dict[str, Deeds]] = {}
        for user_id, deeds in learners.items():
            by_shard.setdefault(self._keys(user_id), {})[user_id] = deeds
        for keys, found in by_shard.items():
            declared = [keys.experiment(experiment.epoch), keys.experiment_marks(experiment.epoch)]
            left = iter(found.items())
            while chunk := dict(islice(left, _CHUNK)):
                await _ADD.run(self._client, declared, _arguments(experiment, chunk))


def _arguments(experiment: Experiment, learners: Mapping[str, Deeds]) -> list[bytes | str | int]:
    args: list[bytes | str | int] = [_TTL_S]
    for user_id, deeds in learners.items():
        test = "" if deeds.hit is None else str(int(deeds.hit))
        arm = arm_of(user_id, experiment).name
        args += [draw_of(user_id, experiment), arm, deeds.lists, deeds.clicks, deeds.enrolments, test]
    return args
