"""The sweep: after a new model or catalogue all learners' lists are made anew, who was active last first."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from adapters.redis import Client, Script, ask_all, patiently
from schemas.candidates import VERSION_AT, VERSION_BYTES, Version, pack_version
from stream.lists import Marked
from stream.serving import Serving
from stream.view import ShardView

T = TypeVar("T")

PATIENCE_S: Final = 5.0
"""Lists wait so long for a server that is away or hangs; then the others go on."""


class _ForgottenError(Exception):
    """The server was started since it was asked last, so what it was told just before may be lost."""


class _MoveOn(Script):
    """The script that notes where a sweep stands, on servers that know it."""

    def _not_known(self) -> None:
        raise _ForgottenError


_MOVE_ON: Final = _MoveOn(Path(__file__).with_name("sweep.lua"), is_own=True)


async def soon(call: Callable[[], Awaitable[T]]) -> T:
    """Await what Redis answers; RedisTimeoutError if its server is away for long."""
    return await patiently(call, PATIENCE_S)


class Sweep:
    """Goes through the learners of shards, batch by batch; where it stands is noted in the shard's meta."""

    def __init__(self, client: Client, refresh: Callable[[Sequence[Marked], Serving], Awaitable[Any]]) -> None:
        self._client = client
        self._refresh = refresh

    async def step(self, view: ShardView, serving: Serving, stood: str, batch: int) -> str:
        """Refresh one batch of all learners for new epochs, most recent first; return where the sweep stands.

        `stood` is the shard's `sweep`; the answer equals it when there was nothing left to do. Raises RedisError.
        """
        epochs = serving.swept
        cursor = stood.rpartition(" ")[2] if stood.startswith(epochs + " ") else "+inf"
        if cursor == "-inf":
            return stood
        bound = cursor if cursor == "+inf" else f"({cursor}"
        found: list[Any] = await soon(
            lambda: self._client.zrange(
                view.keys.learners, bound, "-inf", desc=True, byscore=True, withscores=True, offset=0, num=batch
            )
        )
        behind = await self._behind(view, [user.decode() for user, _ in found], serving)
        if behind:
            await self._refresh([Marked(view, user_id) for user_id in behind], serving)
        stands = f"{epochs} {int(found[-1][1]) if len(found) == batch else '-inf'}"
        keys = [view.keys.meta]
        try:
            answer = await soon(lambda: _MOVE_ON.run(self._client, keys, [view.nonce, stood, stands]))
        except _ForgottenError:  # the lists just published may be lost: once more
            args = [view.nonce, stood, stood]
            answer = await soon(lambda: _MOVE_ON.run_anew(self._client, keys, args))
            return await self.step(view, serving, answer.decode(), batch)
        return str(answer.decode())

    async def _behind(self, view: ShardView, users: Sequence[str], serving: Serving) -> list[str]:
        """Return the learners whose list was made from other epochs than theirs, and is to be made now."""
        users = [user_id for user_id in users if not serving.waits(user_id)]
        asked = [
            ("GETRANGE", view.keys.candidates(user_id), VERSION_AT, VERSION_AT + VERSION_BYTES - 1) for user_id in users
        ]
        versions = await soon(lambda: ask_all(self._client, asked)) if users else []
        wanted = (pack_version(Version(*serving.of(user_id).epochs, -1, -1))[:16] for user_id in users)
        pairs = zip(users, wanted, versions, strict=True)
        return [user_id for user_id, current, version in pairs if version[:16] != current]
