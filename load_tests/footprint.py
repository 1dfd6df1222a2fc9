"""What memory and processor the processes of a mesh took for a piece of work.

The peak of all that is resident is the kernel's own (`VmHWM` of /proc/PID/status), so none is too short to be seen.
Memory that two processes share, such as a tensor on its way to Triton, counts in both; what is a process's own
(`RssAnon`) is looked at a hundred times a second. A package's code runs in a process that lives as long as its job: all
that it takes counts, Python and libraries included.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from services.launcher.mesh import Mesh

_LOOK_SECONDS = 0.01
_STILL_SECONDS, _STILL_BYTES, _PATIENCE_SECONDS = 3.0, 2_000_000, 60.0
STEPS: Mapping[str, str] = {
    "ingest": "receive, store",
    "archive": "fetch",
    "anonymise": "de-identify",
    "inference": "assemble, pre, post",
    "triton": "hand over",
    "triton: model": "compute: network",
    "triton: code": "compute: code, confined",
    "encode": "encode",
}
"""The processes through which a volume goes, and their steps."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Of one process, in bytes, above what it held at rest.

    Attributes:
        rest: resident at rest.
        own: most of its own.
        resident: most that was resident: its own, shared memory, mapped files.
    """

    rest: int
    own: int
    resident: int


class Footprint:
    """Memory and processor time of a mesh."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self._rest: dict[int, dict[str, int]] = {}
        self._own: dict[int, int] = {}
        self._models: tuple[int, ...] = ()
        self._code = Memory(0, 0, 0)
        self._cpu: dict[str, float] = {}
        self._machine = 0.0

    def rest(self) -> None:
        """Wait until no process grows any more: what is resident then is at rest."""
        before, until = 0, time.monotonic() + _PATIENCE_SECONDS
        while (now := sum(self._resident().values())) - before > _STILL_BYTES and time.monotonic() < until:
            before = now
            time.sleep(_STILL_SECONDS)
        self._rest = {process.pid: _status(process.pid) for _, process in self._processes()}
        self._own = {pid: told["RssAnon"] for pid, told in self._rest.items()}
        self._models = tuple(process.pid for name, process in self._processes() if name == "triton: model")

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Looks at what is the processes' own, often, while the body works."""
        ended = threading.Event()

        def look() -> None:
            while not ended.wait(_LOOK_SECONDS):
                for pid in tuple(self._own):
                    with suppress(OSError):
                        self._own[pid] = max(self._own[pid], _status(pid)["RssAnon"])
                for pid in (child for model in self._models for child in _children(model)):
                    with suppress(OSError, KeyError):  # it has ended
                        told = _status(pid)
                        own, peak = max(self._code.own, told["RssAnon"]), max(self._code.resident, told["VmHWM"])
                        self._code = Memory(0, own, peak)

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def memory(self) -> dict[str, Memory]:
        """The most since `rest`, by the names of `STEPS`."""
        found: dict[str, Memory] = {}
        for name, process in self._processes():
            rest = self._rest.get(process.pid)
            if name in STEPS and rest is not None:
                peak = _status(process.pid)["VmHWM"] - rest["VmRSS"]
                one = Memory(rest["VmRSS"], self._own[process.pid] - rest["RssAnon"], peak)
                found[name] = max(one, found.get(name, one), key=lambda memory: memory.resident)
        if self._code.resident:
            found["triton: code"] = self._code
        return found

    def begin(self) -> None:
        """Count processor seconds from here."""
        self._cpu, self._machine = self._times(), _busy()

    def cpu(self) -> dict[str, float]:
        """Processor seconds by part; `others` is what the machine did beside the mesh, the load test included."""
        now = self._times()
        spent = {name: now[name] - self._cpu.get(name, 0.0) for name in now}
        return spent | {"others": max(0.0, _busy() - self._machine - sum(spent.values()))}

    def _resident(self) -> dict[int, int]:
        return {process.pid: _status(process.pid)["VmRSS"] for _, process in self._processes()}

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
            ended = times.children_user + times.children_system  # confined code, which lived as long as its job
            spent[part] = spent.get(part, 0.0) + times.user + times.system + ended
        return spent


def _children(pid: int) -> list[int]:
    """The processes that one has started (proc_pid_children(5))."""
    found: list[int] = []
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found += map(int, thread.read_text().split())
    return found


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
