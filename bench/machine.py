"""What a figure was measured on: the machine, the versions, the commit, and settings that were not the default."""

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from trainer.publish import git_commit
from trainer.settings import changed, load_settings

_LIBRARIES: Final = ("torch", "numpy", "scipy")


def machine() -> dict[str, str]:
    """Return what is known of it, in words."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "versions": ", ".join(
            [f"Python {platform.python_version()}", *(f"{one} {version(one)}" for one in _LIBRARIES)]
        ),
        "commit": git_commit()[:12] or "unknown",
        "settings": _said(changed(load_settings())),
    }


def _said(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name.upper()}={value}" for name, value in settings.items()) or "the defaults"


def _processor() -> str:
    """Return the processor's name; where Linux does not say, what Python knows."""
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text().splitlines() if listed.is_file() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or "unknown")
