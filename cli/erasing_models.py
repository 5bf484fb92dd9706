"""What is left of an erased learner in what the trainer keeps, and in the models that were made with him."""

import asyncio
import contextlib
import os
from pathlib import Path

import msgspec
from aiokafka import ConsumerRecord

from adapters.follow import ControlLog, append_control
from cli.erasing import Seen
from cli.system import System
from schemas.control import ModelPublished, RefitEnded, RefitRequested, decode_control
from schemas.errors import NotReadyError
from schemas.topics import LEARNER_EVENTS
from stream.erasure import Erasure, LearnerLog


class Refits(ControlLog):
    """The decisions, and the last answer to those who asked for a refit."""

    def __init__(self, bootstrap_servers: str) -> None:
        super().__init__(bootstrap_servers)
        self.ended: RefitEnded | None = None

    def take(self, record: ConsumerRecord) -> None:
        """Fold one decision."""
        super().take(record)
        with contextlib.suppress(msgspec.DecodeError):
            if isinstance(ended := decode_control(record.value or b""), RefitEnded):
                self.ended = ended


class ModelErasure:
    """Looks at the trainer's snapshot and at the live model, and asks for a refit where one is needed."""

    def __init__(self, system: System, control: Refits, erasure: Erasure, log: LearnerLog, wait_model: bool) -> None:
        self._system, self._control, self._erasure = system, control, erasure
        self._log, self._wait_model = log, wait_model
        self._asked = -1
        """Offset of the request for a refit."""
        self.snapshot = Path(os.environ.get("SNAPSHOT_DIR") or system.state_dir / "snapshots")

    def _knows(self, offsets: dict[str, list[int]]) -> bool:
        """Whether what was made from the log up to these ends was made with the learner."""
        ends = offsets.get(LEARNER_EVENTS, [])
        return len(ends) > self._erasure.shard and self._log.is_known_before(ends[self._erasure.shard])

    def _live(self) -> ModelPublished | None:
        state = self._control.state
        return state.models[state.model_version].record if state.model_version else None

    def _in_arms(self) -> str:
        """Say which models of an experiment were made with the learner."""
        state = self._control.state
        named = sorted(state.experiment.versions) if state.experiment else []
        known = [version for version in named if self._knows(state.models[version].record.offsets)]
        return f"arms of an experiment are served until it ends: {', '.join(known)}" if known else ""

    async def _answer(self) -> RefitEnded | None:
        """Return the answer to our request, which is made if it was not yet."""
        if self._asked < 0:
            self._asked = await append_control(self._system.kafka, RefitRequested())
        ended = self._control.ended
        return ended if ended and ended.requested >= self._asked else None

    async def in_snapshot(self) -> Seen:
        """Purge the snapshot of this machine; one elsewhere is the trainer's to bring up to the log."""
        if self.snapshot.is_dir():
            from trainer.snapshot import purge  # pyarrow takes its time

            try:
                left = await asyncio.to_thread(purge, self.snapshot, self._erasure.user_id, self._erasure.through_us)
            except NotReadyError as error:
                return Seen("open", str(error))
            return Seen("done", f"{left} events left the files in {self.snapshot}")
        if self._read_to() > self._erasure.offset:
            return Seen("done", "the trainer has read the log up to the erasure, and its snapshot is what it read")
        return Seen(
            "pending", f"none in {self.snapshot}: a trainer elsewhere drops the learner when it reads the log next"
        )

    def _read_to(self) -> int:
        """Return up to where trainings have read the learner's shard."""
        state, ended = self._control.state, self._control.ended
        made = [one.record.offsets for one in state.models.values()]
        made += [one.record.offsets for one in state.refused.values()]
        made += [ended.offsets] if ended else []
        vectors = [offsets[LEARNER_EVENTS] for offsets in made if LEARNER_EVENTS in offsets]
        return max((ends[self._erasure.shard] for ends in vectors), default=0)

    async def in_model(self) -> Seen:
        """Look whether what lists are made with was made without the learner."""
        live = self._live()
        if live is None or not self._knows(live.offsets):
            name = live.version if live else "none"
            if others := self._in_arms():
                return Seen("pending", f"live is {name}, made without the learner; made with him, {others}")
            return Seen("done", f"live is {name}, made without the learner")
        if not self._wait_model:
            return Seen("pending", f"{live.version} was made with the learner, and is live until the next refit")
        ended = await self._answer()
        if ended is None:
            asked = "a refit was asked for, and not answered yet: see that the trainer runs"
            return Seen("open", f"{live.version} was made with the learner; {asked}")
        return Seen(
            "open",
            f"{live.version} was made with the learner, and stays live: the refit {ended.version or 'made no model'} "
            f"was not published ({ended.reason}); `coursestream train --force` publishes one all the same",
            settled=not ended.published,
        )

    def in_bundles(self) -> str:
        """Say which stored models were made with the learner."""
        models = self._control.state.models.values()
        known = [one.record.version for one in models if self._knows(one.record.offsets)]
        if not known:
            return "none was made with the learner"
        return (
            f"{len(known)} were made with the learner and stay to be rolled back to; they hold weights of courses, "
            f"no ids of learners: {', '.join(known)}"
        )
