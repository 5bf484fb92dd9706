"""Running our own modules as programs."""

import sys


def run_module(module: str, *arguments: str) -> tuple[str, ...]:
    """Return the command that runs an installed module, whatever lies in the working directory."""
    return (sys.executable, "-P", "-m", module, *arguments)
