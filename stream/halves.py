"""Bisection: which of many records, or learners, is the one that breaks the code."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from redis.exceptions import DataError, RedisError, ResponseError

from adapters.redis import is_passing, patiently

P = TypeVar("P")
T = TypeVar("T")
R = TypeVar("R")

_IN_A_SCRIPT: Final = "user_script"
"""In a server's answer: the error arose inside a Lua script."""
FREE: Final = 10
"""So many may break before anything has worked: what breaks a worker's first records need not break all."""


class PoisonError(Exception):
    """What was asked of pure code, or of a script on a server that works, breaks it."""


class BrokenCodeError(Exception):
    """More records break the code than pass through it: it is the code, not the records."""


@contextmanager
def breaking() -> Iterator[None]:
    """Raise whatever the block raises as PoisonError; the block is pure, so no dependency can be at fault."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        raise PoisonError(f"{type(error).__name__}: {error}") from error


def of_the_call(error: RedisError) -> bool:
    """Whether an error of Redis can only come from what was asked: a script broke, or an argument can't be sent.

    Everything else may have any cause: the server is away, full, read-only or loading, forbids the call, or holds a
    state that is damaged (WRONGTYPE).

    >>> of_the_call(ResponseError("user_script:7: attempt to index a nil value script: 3f"))
    True
    >>> of_the_call(ResponseError("OOM command not allowed script: 3f, on @user_script:7."))
    False
    """
    if isinstance(error, DataError):
        return True
    said = str(error).removeprefix("ERR ")
    return type(error) is ResponseError and not is_passing(error) and said.startswith(_IN_A_SCRIPT)


async def sent(call: Callable[[], Awaitable[T]], for_s: float | None = None) -> T:
    """Await a call of a script, patient with Redis for `for_s`. Raises PoisonError if what was asked breaks it."""
    try:
        return await patiently(call, for_s)
    except RedisError as error:
        if of_the_call(error):
            raise PoisonError(str(error)) from error
        raise


class Odds:
    """Counts what works and what breaks, so that a broken version of the code quarantines a few records and not all.

    `broke`: what broke the code before, under a worker that had to start again.
    """

    def __init__(self, broke: int = 0) -> None:
        self._worked = 0
        self._broke = broke

    def worked(self, count: int) -> None:
        """Note records, or learners, that the code could deal with."""
        self._worked += count

    def broke(self, error: Exception) -> None:
        """Note one that it could not; raise BrokenCodeError if these are too many."""
        self._broke += 1
        if self._broke > FREE + self._worked:
            raise BrokenCodeError(
                f"{self._broke} broke this code and {self._worked} did not: it is the code; go back to the one before"
            ) from error


async def by_halves(
    part: P,
    halves: Callable[[P], Sequence[P]],
    work: Callable[[P], Awaitable[Any]],
    alone: Callable[[P, PoisonError], Awaitable[Any]],
) -> None:
    """Do the work on all of a part; where that breaks the code, on its halves, down to `alone` with what breaks it.

    The halves come one after the other, and a half that can't be cut is tried once more: what breaks it must do so
    again.
    """
    try:
        await work(part)
        return
    except PoisonError:
        pieces = halves(part)
    for piece in pieces:
        await by_halves(piece, halves, work, alone)
    if not pieces:
        try:
            await work(part)
        except PoisonError as error:
            await alone(part, error)


def each_by_halves(
    items: Sequence[T], work: Callable[[Sequence[T]], Sequence[R]]
) -> tuple[list[tuple[T, R]], list[tuple[T, PoisonError]]]:
    """Return items with what the work makes of them, and those that break it, alone, with the error.

    >>> each_by_halves([1, 0, 2], lambda numbers: [6 // number for number in numbers])
    ([(1, 6), (2, 3)], [(0, PoisonError('ZeroDivisionError: integer division or modulo by zero'))])
    """
    try:
        with breaking():
            return list(zip(items, work(items), strict=True)), []
    except PoisonError as error:
        if len(items) < 2:
            return [], [(item, error) for item in items]
    middle = len(items) // 2
    (made, broken), (more_made, more_broken) = (each_by_halves(half, work) for half in (items[:middle], items[middle:]))
    return made + more_made, broken + more_broken
