"""The machine that is measured on, and what a process takes of it."""

import os
import platform
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")
MIB = 1 << 20


def facts() -> str:
    """Say in one line what figures depend on."""
    load = " ".join(f"{one:.2f}" for one in os.getloadavg())
    cores = len(os.sched_getaffinity(0))
    return (
        f"{cores} cores, {platform.python_implementation()} {platform.python_version()}, "
        f"{platform.system()} {platform.release()} {platform.machine()}, "
        f"load {load} (1, 5 and 15 minutes)"
    )


def pin() -> None:
    """Stay on one core from now on."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def resident(pid: int | None = None) -> int:
    """Return the bytes that a process (this one, if none is named) has in memory."""
    path = Path(f"/proc/{'self' if pid is None else pid}/statm")
    return int(path.read_text().split()[1]) * PAGE


def processor_seconds(pid: int) -> float:
    """Return the seconds of processor time that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS
