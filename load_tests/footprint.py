"""What memory and processor the processes of a mesh took for a piece of work.

The peak is the kernel's own (`VmHWM` of /proc/PID/status, set back by /proc/PID/clear_refs), so none is too short to be
seen. Memory that two processes share, such as a tensor on its way to Triton, counts in both.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from services.launcher.mesh import Mesh

STEPS: Mapping[str, str] = {
    "ingest": "receive, store",
    "archive": "fetch",
    "anonymise": "de-identify",
    "inference": "assemble, pre, post",
    "triton": "hand over",
    "triton: model": "compute",
    "encode": "encode",
}
"""The processes through which a volume goes, and their steps."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Of one process, in bytes.

    Attributes:
        rest: resident before the work.
        peak: most that was resident during the work, files that it has mapped and shared memory included.
        shared: shared memory that was still mapped at the end.
    """

    rest: int
    peak: int
    shared: int

    @property
    def growth(self) -> int:
        """What the work took."""
        return self.peak - self.rest


class Footprint:
    """Memory and processor time of a mesh since `begin`."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self._rest: dict[int, int] = {}
        self._cpu: dict[str, float] = {}
        self._machine = 0.0

    def begin(self) -> None:
        """Begin to watch: what is resident now is at rest, and peaks count from here."""
        for _, process in self._processes():
            Path(f"/proc/{process.pid}/clear_refs").write_text("5")
        self._rest = {process.pid: _status(process.pid)["VmRSS"] for _, process in self._processes()}
        self._cpu, self._machine = self._times(), _busy()

    def memory(self) -> dict[str, Memory]:
        """By the names of `STEPS`: the process that grew most, of those that bear the name."""
        found: dict[str, Memory] = {}
        for name, process in self._processes():
            if name in STEPS:
                told = _status(process.pid)
                one = Memory(self._rest.get(process.pid, 0), told["VmHWM"], told["RssShmem"])
                found[name] = max(one, found.get(name, one), key=lambda memory: memory.growth)
        return found

    def cpu(self) -> dict[str, float]:
        """Processor seconds by part; `others` is what the machine did beside the mesh, the load test included."""
        now = self._times()
        spent = {name: now[name] - self._cpu.get(name, 0.0) for name in now}
        return spent | {"others": max(0.0, _busy() - self._machine - sum(spent.values()))}

    def _processes(self) -> Iterator[tuple[str, psutil.Process]]:
        for part, state in self._mesh.state().parts.items():
            if state.pid is None:
                continue
            try:
                parent = psutil.Process(state.pid)
                yield part, parent
                for child in parent.children(recursive=True):
                    yield ("triton: model" if part == "triton" else f"{part}: children"), child
            except psutil.NoSuchProcess:
                continue

    def _times(self) -> dict[str, float]:
        spent: dict[str, float] = {}
        for name, process in self._processes():
            part = name.partition(":")[0]
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            spent[part] = spent.get(part, 0.0) + times.user + times.system
        return spent


def _status(pid: int) -> dict[str, int]:
    """The sizes of /proc/PID/status in bytes (proc_pid_status(5))."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {line.partition(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.endswith(" kB")}


def _busy() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq)


def load() -> float:
    """The load of the machine over the last minute."""
    return os.getloadavg()[0]
