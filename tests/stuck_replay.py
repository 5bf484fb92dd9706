"""A real `coursestream replay` that stands still in a phase, to be killed there.

`python -m tests.stuck_replay PHASE FILE ARGUMENTS...`; FILE is there once the phase is reached.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import stream.replay as replay
from cli.app import main
from stream.replay import Rebuild

_REACHED: Final = Path(sys.argv[2])
_Step = Callable[..., Awaitable[Any]]


async def _stand_still() -> None:
    _REACHED.touch()
    await asyncio.Event().wait()


def stuck_before(step: _Step) -> _Step:
    """Return a step that is never taken."""

    async def stuck(*_: Any) -> None:
        await _stand_still()

    return stuck


def stuck_after(step: _Step) -> _Step:
    """Return a step after which nothing comes."""

    async def stuck(*arguments: Any) -> None:
        await step(*arguments)
        await _stand_still()

    return stuck


_PHASES: Final[dict[str, tuple[object, str, Callable[[_Step], _Step]]]] = {
    "filling": (replay, "merge_run", stuck_after),
    "building lists": (Rebuild, "build_lists", stuck_before),
    "before the swap": (replay, "append_control", stuck_before),
    "after the swap": (replay, "append_control", stuck_after),
}

if __name__ == "__main__":
    owner, name, stuck = _PHASES[sys.argv[1]]
    setattr(owner, name, stuck(getattr(owner, name)))
    sys.argv[1:] = sys.argv[3:]
    main()
