"""One run: the system, its producers, readers and probes, and the nemesis among them. Resumable by its folder."""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

from adapters.redis import connect
from schemas.keys import SHARED_META
from tests.chaos.api_client import ApiClient, UnavailableError
from tests.chaos.campus import RETIRED, Campus, catalogue
from tests.chaos.extra_worker import ExtraWorker
from tests.chaos.fault import SHARDS, Target
from tests.chaos.journal import Journal
from tests.chaos.nemesis import Happened, Nemesis
from tests.chaos.probes import Prober
from tests.chaos.producer import Producer
from tests.chaos.readers import Readers
from tests.chaos.record import Record
from tests.chaos.report import Figures, Report
from tests.chaos.stack import Stack, until
from tests.chaos.truncation import truncate
from tests.chaos.verdict import Verdict, reach_verdict

TRAINING: Final = {
    "TRAIN_EPOCHS": "2", "TRAIN_DIMENSIONS": "16", "EVALUATE_TESTS": "200", "REFIT_MINUTES": "10000",
    "REFIT_EVENTS": "10000000",
}  # fmt: skip
"""Trainings are asked for by the faults; they are short."""
OVER: Final = "over"
"""A file that says that a run's log has lost its beginning: it can't go on."""


@dataclass(frozen=True)
class Options:
    """What a run is asked for. `names`: the kinds of faults, all of them if there are none."""

    folder: Path
    kills: int
    seed: int = 1
    rate: float = 100.0
    learners: int = 3_000
    pause_s: float = 4.0
    patience_s: float = 180.0
    names: Sequence[str] = ()
    trains: bool = True
    truncates: bool = True


def say(text: str) -> None:
    """Say how far the run is."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


class Run:
    """A run in its folder: `record.jsonl`, `faults.jsonl`, `violations.jsonl`, `figures.jsonl`, `up.log`, the state."""

    def __init__(self, options: Options) -> None:
        self._options = options
        folder = options.folder
        self._faults = Journal(folder / "faults.jsonl")
        self._violations = Journal(folder / "violations.jsonl")
        self._measured = Journal(folder / "figures.jsonl")
        self.record = Record(Journal(folder / "record.jsonl"))
        settings = TRAINING if options.trains else {**TRAINING, "MIN_ENROLMENTS": "1000000000"}
        self.stack = Stack(folder, settings)
        self.happened = [Happened(**line) for line in self._faults.read()]

    async def go(self) -> Report:
        """Start the system, do what is left of the run, judge, and stop the system."""
        try:
            await self.stack.start()
            await self._found()
            if len(self.happened) < self._options.kills:
                await self._disturb()
            verdict, truncated = await self._judge()
        finally:
            await self.stack.stop()
        figures, violations = self._figures(), sum(1 for _ in self._violations.read())
        return Report(self._options.seed, self.happened, figures, violations, verdict, truncated)

    async def _found(self) -> None:
        """Put the catalogue in, unless an earlier part of the run has, and wait until lists know what is retired."""
        client = ApiClient(self.stack)
        redis = connect(self.stack.connections)
        try:
            if not self.record.bodies:
                offset = -1
                for course in catalogue():
                    body = {**course, "retired": course["course_id"] in RETIRED}
                    answer = await self._insist(client, "PUT", f"/v1/courses/{course['course_id']}", body)
                    offset = int(answer["position"].rpartition(":")[2])
                await until(lambda: _knows(redis, offset), "the shared lists know the catalogue")
        finally:
            await client.aclose()
            await redis.aclose()

    async def _insist(self, client: ApiClient, method: str, path: str, body: Any) -> Any:
        while True:
            try:
                return await client.ask(method, path, body)
            except UnavailableError as error:
                say(f"{method} {path}: {error}")
                await asyncio.sleep(0.5)

    async def _disturb(self) -> None:
        """Have traffic, and one fault after the other in it."""
        options, began = self._options, time.monotonic()
        campus = Campus(options.seed, options.learners)
        producer = Producer(self.stack, campus, self.record, options.rate)
        readers = Readers(self.stack, self.record, self._violations, options.seed)
        prober = Prober(self.stack, self.record, SHARDS)
        async with AsyncExitStack() as context:
            extra = await context.enter_async_context(ExtraWorker(self.stack))
            target = Target(self.stack, extra, prober, self.record, Random())
            parts = (producer, readers, prober)
            async with asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(part.run()) for part in parts]
                try:
                    await self._strike(Nemesis(target, options.seed, options.names, options.patience_s), prober)
                finally:
                    for part in parts:
                        part.stop()
                    _, late = await asyncio.wait(running, timeout=options.patience_s)
                    for task in late:  # a system that never comes back: what is unknown stays unknown
                        task.cancel()
                    self._measure(time.monotonic() - began, producer, readers, prober)

    async def _strike(self, nemesis: Nemesis, prober: Prober) -> None:
        await asyncio.wait_for(prober.fresh_after(time.monotonic()), self._options.patience_s)
        for number in range(len(self.happened), self._options.kills):
            say(f"fault {number + 1} of {self._options.kills}: {nemesis.kind(number)}")
            one = await nemesis.strike(number)
            self.happened.append(one)
            self._faults.write(one.line())
            own = "" if one.own_s is None else f", its own shards after {one.own_s:.1f} s"
            say(f"  {one.error or one.proof}; all fresh after {one.recovery_s:.1f} s{own}; "
                f"{len(self.record.acked):,} acknowledged")  # fmt: skip
            await asyncio.sleep(self._options.pause_s)

    def _measure(self, seconds: float, producer: Producer, readers: Readers, prober: Prober) -> None:
        counts = readers.counts
        figures = Figures(
            seconds, producer.unknown, producer.acks.longest_s, readers.answers.longest_s,
            prober.longest_s, counts["answers"], counts["degraded"], counts["degraded_with_taken"],
            counts["unavailable"], sorted(readers.models),
        )  # fmt: skip
        self._measured.write(asdict(figures))

    def _figures(self) -> Figures:
        total = Figures()
        for line in self._measured.read():
            total = total.joined(Figures(**line))
        return total

    async def _judge(self) -> tuple[Verdict, Verdict | None]:
        say("judging")
        client = connect(self.stack.connections)
        try:
            verdict = await reach_verdict(self.stack, client, self.record, set(self._figures().models))
            if not self._options.truncates:
                return verdict, None
            say("the log loses its beginning")
            (self._options.folder / OVER).touch()
            return verdict, await truncate(self.stack, client)
        finally:
            await client.aclose()


async def _knows(redis: Any, offset: int) -> bool:
    return int(await redis.hget(SHARED_META, "catalogue_epoch") or -1) >= offset


def write_report(report: Report, json_file: str | None) -> None:
    """Write the answer as JSON where that is wanted."""
    if json_file is not None:
        text = json.dumps(report.answer(), indent=2) + "\n"
        if json_file == "-":
            sys.stdout.write(text)
        else:
            Path(json_file).write_text(text)
