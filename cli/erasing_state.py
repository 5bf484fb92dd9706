"""What is left of an erased learner in Redis, in what the API answers, and in the log."""

import asyncio
from typing import Any, Final
from urllib.parse import quote

from adapters.follow import ControlLog
from adapters.redis import Client
from cli.api import get
from cli.erasing import Seen, iso
from cli.system import System
from schemas.errors import CoursestreamError
from schemas.keys import ShardKeys
from stream.erasure import Erasure, finish, generations, look, shared_lists_know

STILL_S: Final = 10.0
"""A generation that is not live and has merged nothing for so long is fed by nobody."""


class StateErasure:
    """Looks at the live generation, at the others, and at what is made from them."""

    def __init__(self, system: System, control: ControlLog, client: Client, erasure: Erasure) -> None:
        self._system, self._control, self._client, self._erasure = system, control, client, erasure
        self._still: dict[tuple[ShardKeys, int], float] = {}

    @property
    def _live(self) -> ShardKeys:
        return ShardKeys(self._erasure.shard, self._control.state.generation)

    async def in_live_generation(self) -> Seen:
        """Look whether the stream has merged the erasure, and nothing is left."""
        keys, erasure = self._live, self._erasure
        found = await look(self._client, keys, erasure)
        if not found.is_live:
            return Seen("open", f"shard {keys.shard} is not whole: workers rebuild it, see `coursestream lag`")
        if found.applied < erasure.offset:
            return Seen(
                "open", f"shard {keys.shard} has not come that far: see `coursestream lag`, and that workers run"
            )
        left = [name for name, number in found.left.items() if number]
        if left or not found.is_erased(erasure):
            return Seen("open", f"left in generation {keys.generation}: {', '.join(left) or 'no threshold'}")
        return Seen("done", f"read back from generation {keys.generation}: nothing that the erasure deletes")

    async def in_other_generations(self) -> Seen:
        """Look at generations before the live one, and at a replay's; erase where nobody else does."""
        others = generations(self._control.state, self._erasure.shard)
        for keys in others:
            found = await look(self._client, keys, self._erasure)
            if found.is_erased(self._erasure):
                continue
            if found.is_fed and not self._stands_still(keys, found.applied):
                return Seen("open", f"generation {keys.generation} is being filled by a replay, or about to be retired")
            await finish(self._client, found, self._erasure)
            return Seen("open", f"generation {keys.generation} was not fed any more, and is erased by this command")
        return Seen("done", f"{len(others)} looked at: nothing that the erasure deletes")

    def _stands_still(self, keys: ShardKeys, applied: int) -> bool:
        now = asyncio.get_running_loop().time()
        return now - self._still.setdefault((keys, applied), now) >= STILL_S

    async def in_shared_lists(self) -> Seen:
        """Look whether popular and trending courses were counted anew since."""
        if await shared_lists_know(self._client, self._erasure):
            return Seen("done", "made from counts without the learner; the API takes them in within seconds")
        return Seen("open", "popular courses were not counted anew yet: the owner of shard 0 does, every few seconds")

    async def in_api(self) -> Seen:
        """Ask the API what it knows; one that is away has nothing, since it reads Redis at each request."""
        path = f"/v1/learners/{quote(self._erasure.user_id, safe='')}"
        try:
            answer: dict[str, Any] = await asyncio.to_thread(get, self._system, path)
        except CoursestreamError as error:
            return Seen("kept", f"not asked ({error}); it keeps nothing of a learner")
        if answer["degraded"]:
            return Seen("open", "the API answers from a state that is not whole")
        through = iso(self._erasure.through_us)
        if any((one["last_event_at"] or through) < through for one in answer["courses"]):
            return Seen("open", "the API still shows courses that are erased")
        return Seen("done", f"asked: it knows {len(answer['courses'])} courses of the learner, all of them of later")
