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

_Step = Callable[..., Awaitable[Any]]


async def _stand_still(reached: Path) -> None:
    reached.touch()
    await asyncio.Event().wait()


def stuck_before(_step: _Step, reached: Path) -> _Step:
    """Return a step that is never taken."""

    async def stuck(*_: Any) -> None:
        await _stand_still(reached)

    return stuck


def stuck_after(step: _Step, reached: Path) -> _Step:
    """Return a step after which nothing comes."""

    async def stuck(*arguments: Any, **named: Any) -> None:
        await step(*arguments, **named)
        await _stand_still(reached)

    return stuck


_PHASES: Final[dict[str, tuple[object, str, Callable[[_Step, Path], _Step]]]] = {
    "filling": (replay, "merge_span", stuck_after),
    "building lists": (Rebuild, "build_lists", stuck_before),
    "before the swap": (replay, "append_control", stuck_before),
    "after the swap": (replay, "append_control", stuck_after),
}

if __name__ == "__main__":
    owner, name, stuck_at = _PHASES[sys.argv[1]]
    setattr(owner, name, stuck_at(getattr(owner, name), Path(sys.argv[2])))
    sys.argv[1:] = sys.argv[3:]
    main()
