"""The sweep: after a new model or catalogue all learners' lists are made anew, who was active last first."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

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


class _Place(NamedTuple):
    """Where a sweep stands on its round: from where it `began` down to the last learner, then from the first to there.

    A round that began above all has no second part.
    """

    epochs: str = ""
    cursor: str = "+inf"
    began: str = "-inf"

    @classmethod
    def read(cls, stood: str) -> "_Place":
        """Read a shard's `sweep`.

        >>> _Place.read("6 4 15"), str(_Place.read(">15 6 5 7"))
        (_Place(epochs='6 4', cursor='15', began='-inf'), '>15 6 5 7')
        """
        epochs, _, cursor = stood.rpartition(" ")
        began, _, rest = epochs.partition(" ")
        return cls(rest, cursor, began[1:]) if began.startswith(">") else cls(epochs, cursor)

    def __str__(self) -> str:
        """Say it as `sweep` does."""
        return f"{'' if self.began == '-inf' else f'>{self.began} '}{self.epochs} {self.cursor}"

    def anew(self, epochs: str) -> "_Place":
        """Return the place from which a round for other epochs begins.

        For another model with who was active last. For another catalogue here, as those below were not come to yet:
        courses are edited more often than a round takes.
        """
        is_amid = self.cursor.isdigit() and _model(epochs) == _model(self.epochs)
        return _Place(epochs, self.cursor, self.cursor) if is_amid else _Place(epochs)

    @property
    def floor(self) -> str:
        """The lowest score of this part of the round."""
        return self.began if float(self.cursor) > float(self.began) else "-inf"

    def after(self, last: int | None) -> "_Place":
        """Return the next place, once all down to a score were come to; None: to the floor."""
        if last is not None and last > float(self.floor):
            return self._replace(cursor=str(last))
        if self.floor == self.began:
            return _Place(self.epochs, "-inf")
        return self._replace(cursor="+inf")


def _model(epochs: str) -> str:
    return epochs.partition(" ")[0]


class Sweep:
    """Goes through the learners of shards, batch by batch; where it stands is noted in the shard's meta."""

    def __init__(self, client: Client, refresh: Callable[[Sequence[Marked], Serving], Awaitable[Any]]) -> None:
        self._client = client
        self._refresh = refresh

    async def step(self, view: ShardView, serving: Serving, stood: str, batch: int) -> str:
        """Refresh one batch of all learners for new epochs, most recent first; return where the sweep stands.

        `stood` is the shard's `sweep`; the answer equals it when there was nothing left to do. Raises RedisError.
        """
        try:
            return await self._step(view, serving, stood, batch)
        except _ForgottenError:  # the lists just published may be lost: once more
            args = [view.nonce, stood, stood]
            answer = await soon(lambda: _MOVE_ON.run_anew(self._client, [view.keys.meta], args))
            return await self.step(view, serving, answer.decode(), batch)

    async def _step(self, view: ShardView, serving: Serving, stood: str, batch: int) -> str:
        place = _Place.read(stood)
        if place.epochs != serving.swept:
            # Before anybody is read: whoever comes from now on keeps his mark until his list has these epochs.
            place = place.anew(serving.swept)
            begun = await self._move_on(view, stood, str(place))
            if begun != str(place):
                return begun
            stood = begun
        if place.cursor == "-inf":
            return stood
        found: list[Any] = await soon(
            lambda: self._client.zrange(
                view.keys.learners,
                f"({place.cursor}",
                place.floor,
                desc=True,
                byscore=True,
                withscores=True,
                offset=0,
                num=batch,
            )
        )
        behind = await self._behind(view, [user.decode() for user, _ in found], serving)
        if behind:
            await self._refresh([Marked(view, user_id) for user_id in behind], serving)
        last = int(found[-1][1]) if len(found) == batch else None
        return await self._move_on(view, stood, str(place.after(last)))

    async def _move_on(self, view: ShardView, stood: str, stands: str) -> str:
        """Note where a sweep stands, if it stood there; return where it stands now."""
        answer = await soon(lambda: _MOVE_ON.run(self._client, [view.keys.meta], [view.nonce, stood, stands]))
        return str(answer.decode())

    async def _behind(self, view: ShardView, users: Sequence[str], serving: Serving) -> list[str]:
        """Return the learners whose list was made from other epochs than theirs, and is to be made now."""
        users = [user_id for user_id in users if not serving.waits(user_id)]
        asked = [
            ("GETRANGE", view.keys.candidates(user_id), VERSION_AT, VERSION_AT + VERSION_BYTES - 1) for user_id in users
        ]
        versions = await soon(lambda: ask_all(self._client, asked, of_any_type=True)) if users else []
        wanted = (pack_version(Version(*serving.of(user_id).epochs, -1, -1))[:16] for user_id in users)
        pairs = zip(users, wanted, versions, strict=True)
        # What is of another type is no list.
        return [one for one, current, version in pairs if not (isinstance(version, bytes) and version[:16] == current)]
