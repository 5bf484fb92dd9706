"""Waiting until a list covers a position: woken by a notice that names the learner, else by a timer."""

import asyncio
from collections.abc import Callable
from typing import Final

from api.changes import Changes

_PAUSE_S: Final = 0.02
"""A notice may be lost, and some events change no list: who waits looks again after so long."""


class Waiting:
    """One who waits, and until when; he hears notices until `end`."""

    def __init__(self, changes: Changes, user_id: str, wait_s: float, look: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._changes, self._user_id, self._look = changes, user_id, look
        self._until_s = self._loop.time() + wait_s
        self._timer: asyncio.TimerHandle | None = None
        self._is_woken = False
        changes.add(user_id, self)

    @property
    def is_over(self) -> bool:
        """Whether it was long enough."""
        return self._loop.time() >= self._until_s

    def sleep(self) -> None:
        """Look again once woken, or after a pause; at once if a notice came while it was looked."""
        pause_s = 0.0 if self._is_woken else min(_PAUSE_S, self._until_s - self._loop.time())
        self._is_woken = False
        self._timer = self._loop.call_later(max(pause_s, 0.0), self._wake_up)

    def wake(self) -> None:
        """Take a notice."""
        if self._timer is None:
            self._is_woken = True
        else:
            self._timer.cancel()
            self._timer = self._loop.call_later(0.0, self._wake_up)

    def _wake_up(self) -> None:
        self._timer = None
        self._look()

    def end(self) -> None:
        """Hear no more."""
        self._changes.remove(self._user_id, self)
