"""What the processes of a server take: memory, and whether they have come to rest."""

import time
from dataclasses import dataclass

import psutil

MIB = 1024 * 1024
_LOOK_S = 0.25
_REST = 0.05  # of one core
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Memory:
    """One process. `pss` shares out what several processes hold in common; None where the system does not tell."""

    rss_mib: float
    pss_mib: float | None


def children(pid: int) -> list[psutil.Process]:
    """Return the processes that a server has started: its workers."""
    return psutil.Process(pid).children(recursive=True)


def memory(processes: list[psutil.Process]) -> list[Memory]:
    """Return the memory of each process in MiB."""
    found = []
    for process in processes:
        info = process.memory_full_info()
        pss = getattr(info, "pss", None)
        found.append(Memory(round(info.rss / MIB, 1), round(pss / MIB, 1) if pss else None))
    return found


def wait_for_rest(pid: int) -> None:
    """Wait until a server has worked off what the last load left in its queue, which would disturb the next one."""
    deadline = time.monotonic() + _PATIENCE_S
    before = _cpu_s(pid)
    while time.monotonic() < deadline:
        time.sleep(_LOOK_S)
        now = _cpu_s(pid)
        if now - before < _LOOK_S * _REST:
            return
        before = now


def _cpu_s(pid: int) -> float:
    total = 0.0
    for process in (psutil.Process(pid), *children(pid)):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total
