"""Running our own modules, and other programs of ours."""

import os
import sys
from pathlib import Path
from typing import Final

_CHILD: Final = Path(__file__).with_name("child.py")


def run_module(module: str, *arguments: str) -> tuple[str, ...]:
    """Return the command that runs an installed module, whatever lies in the working directory."""
    return (sys.executable, "-P", "-m", module, *arguments)


def dying_with_us(*command: str) -> tuple[str, ...]:
    """Return the command that runs another, which dies with this process, however that ends."""
    return (sys.executable, "-I", "-S", str(_CHILD), str(os.getpid()), *command)
