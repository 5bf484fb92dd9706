"""Readers: they look learners up all the time, and hold each answer against what was promised before."""

import asyncio
from collections import Counter
from random import Random
from typing import Any, Final

from tests.chaos.api_client import ApiClient, UnavailableError
from tests.chaos.campus import RETIRED, utc_now
from tests.chaos.gaps import Gaps
from tests.chaos.invariants import Promises, StateVersions, complaints_of_list, complaints_of_page
from tests.chaos.journal import Journal
from tests.chaos.record import Record
from tests.chaos.stack import Stack

READERS: Final = 3
_PAUSE_S: Final = 0.1
_PAGE_SHARE: Final = 0.25
_NOBODY_SHARE: Final = 0.02
_RECENT_SHARE: Final = 0.6
_RECENT: Final = 100
"""Most look-ups are of learners of the newest acknowledged events: theirs is what is easiest to forget."""


class Readers:
    """Some readers, each with learners of its own, so that one learner's answers have an order."""

    def __init__(self, stack: Stack, record: Record, violations: Journal, seed: int) -> None:
        self._stack = stack
        self._record = record
        self._violations = violations
        self._seed = seed
        self.found = sum(1 for _ in violations.read())
        self.counts: Counter[str] = Counter()
        self.models: set[str] = set()
        self.answers = Gaps()
        self._stopping = False

    async def run(self) -> None:
        """Read until told to stop."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(READERS):
                tasks.create_task(self._read(number))

    def stop(self) -> None:
        """Ask for nothing more."""
        self._stopping = True

    async def _read(self, number: int) -> None:
        client, random, versions = ApiClient(self._stack), Random(f"{self._seed} reader {number}"), StateVersions()
        try:
            while not self._stopping:
                user_id = self._choose(number, random)
                try:
                    await self._look(client, user_id, random.random() < _PAGE_SHARE, versions)
                except UnavailableError:
                    self.counts["unavailable"] += 1
                await asyncio.sleep(_PAUSE_S)
        finally:
            await client.aclose()

    def _choose(self, number: int, random: Random) -> str:
        """Return one of this reader's learners, or somebody unknown."""
        if random.random() < _RECENT_SHARE:
            users = [self._record.bodies[event_id]["user_id"] for event_id in self._record.acked[-_RECENT:]]
        else:
            users = list(self._record.promised)
        own = [user for user in users if hash(user) % READERS == number]
        return random.choice(own) if own and random.random() > _NOBODY_SHARE else f"nobody-{number}"

    async def _look(self, client: ApiClient, user_id: str, is_page: bool, versions: StateVersions) -> None:
        before = self._promised(user_id)
        path = f"/v1/learners/{user_id}" + ("" if is_page else "/recommendations?limit=20")
        answer = await client.ask("GET", path)
        self.answers.note()
        after = self._promised(user_id)
        if before is None or after is None:  # erased: what is covered takes its time to go
            return
        self._count(answer, before)
        promises = Promises(before.taken, before.direct, before.refused & after.refused)
        complaints = (complaints_of_page if is_page else complaints_of_list)(answer, user_id, promises)
        if not is_page:
            complaints += versions.complaints(user_id, answer)
            self.models.add(answer["model_version"])
        for complaint in complaints:
            self.found += 1
            self._violations.write({"at": utc_now().isoformat(), "path": path, "said": complaint, "answer": answer})

    def _promised(self, user_id: str) -> Promises | None:
        """Return what holds of a learner now; None of one who was erased."""
        if user_id not in self._record.promised:
            return Promises()
        learner = self._record.promised[user_id]
        if learner.is_erased:
            return None
        return Promises(frozenset(learner.taken), dict(learner.direct), frozenset(learner.refused()))

    def _count(self, answer: Any, promises: Promises) -> None:
        self.counts["answers"] += 1
        self.counts["degraded"] += answer["degraded"]
        courses = {item["course_id"] for item in answer.get("items", ())}
        self.counts["degraded_with_taken"] += bool(answer["degraded"] and courses & (promises.taken | RETIRED))
