"""One shard with a log that is merged as it is written, and the real recommender, watched, to serve it."""

import threading
from collections.abc import Sequence
from typing import Any, Final

from adapters.redis import Client
from recommender.history import Learner
from recommender.listing import Ranked
from recommender.popularity import popularity_of
from recommender.recommend import Recommender, prepare
from schemas.candidates import CandidateList, unpack_candidates
from schemas.events import Enrolled, LearnerEvent
from schemas.keys import ShardKeys
from stream.serving import Serving
from stream.view import ShardView
from tests.models import COURSES, small_model
from tests.reference import Logged
from tests.shard_state import merge, read_scores
from tests.strategies import LATE_MS

KEYS: Final = ShardKeys(0, 0)
PREPARED: Final = prepare(small_model())
CATALOGUE: Final = {course.course_id: course for course in COURSES}


class Watched(Recommender):
    """The real recommender; it notes whom it computed for, and a test may hold it up."""

    def watch(self) -> "Watched":
        """Begin to note."""
        self.learners = 0
        self.started, self.go = threading.Event(), threading.Event()
        self.go.set()
        return self

    def rank(self, learners: Sequence[Learner], limit: int = 100) -> list[Ranked]:
        """Compute, once the test lets it."""
        self.learners += len(learners)
        self.started.set()
        assert self.go.wait(20)
        return super().rank(learners, limit)


def watched() -> Watched:
    """Return a recommender that is watched."""
    return Watched(PREPARED, CATALOGUE, popularity_of({})).watch()


def serving(model_epoch: int = 5, catalogue_epoch: int = 3, recommender: Recommender | None = None) -> Serving:
    """Return what lists are made with under these epochs."""
    return Serving(recommender or watched(), model_epoch, catalogue_epoch)


class Log:
    """The log of the shard: what is appended is merged."""

    def __init__(self, client: Client, view: ShardView) -> None:
        self._client, self._view = client, view
        self.entries: list[Logged] = []

    async def append(self, *events: LearnerEvent, appended_ms: int = LATE_MS) -> None:
        """Append events and merge them."""
        first = len(self.entries)
        self.entries += [Logged(event, appended_ms) for event in events]
        await merge(self._client, self._view, self.entries, first, len(self.entries) - 1)

    async def enrol(self, user_id: str, *course_ids: str) -> None:
        """Append a learner's enrolments."""
        await self.append(*(enrolled(user_id, course_id) for course_id in course_ids))


def enrolled(user_id: str, course_id: str) -> Enrolled:
    """Return an enrolment."""
    return Enrolled(event_id=f"{user_id} {course_id}", user_id=user_id, course_id=course_id, occurred_at=5)


async def listed(client: Client, user_id: str) -> CandidateList | None:
    """Return a learner's list, if there is one."""
    packed: Any = await client.get(KEYS.candidates(user_id))
    return unpack_candidates(packed) if packed else None


async def marks(client: Client) -> set[str]:
    """Return who is dirty."""
    return set(await read_scores(client, KEYS.dirty))
