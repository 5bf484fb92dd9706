"""What a process has used, as Linux counts it."""

import os
from pathlib import Path


def cpu_s(pid: int) -> float:
    """Return the CPU seconds that a process has used, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    """Return the megabytes that a process holds in memory."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1_000 for line in lines if line.startswith("VmRSS"))


def reset_peak() -> float:
    """Forget this process's peak of memory so far; return the megabytes that it holds now."""
    Path("/proc/self/clear_refs").write_text("5")
    return resident_mb(os.getpid())


def peak_mb() -> float:
    """Return the most megabytes that this process has held since `reset_peak`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1_000 for line in lines if line.startswith("VmHWM"))
