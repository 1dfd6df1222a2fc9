"""What the supervisor tells everybody else: one small JSON file, replaced whole at each change."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path


class Phase(StrEnum):
    """Where the whole mesh stands."""

    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


class PartPhase(StrEnum):
    """Where one part stands."""

    WAITING = "waiting"  # for the parts that it needs
    STARTING = "starting"
    READY = "ready"
    CRASHED = "crashed"  # ended by itself; is started again after a while
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class PartState:
    """One part: its process, since when it is ready, how long that took, how often it was started again."""

    phase: PartPhase = PartPhase.WAITING
    pid: int | None = None
    since_unix: float | None = None
    start_seconds: float | None = None
    restarts: int = 0


@dataclass(frozen=True, slots=True)
class State:
    """The whole mesh."""

    phase: Phase
    pid: int
    ports: dict[str, int] = field(default_factory=dict)
    parts: dict[str, PartState] = field(default_factory=dict)
    error: str | None = None

    def with_part(self, name: str, part: PartState) -> State:
        """The same with one part replaced."""
        return replace(self, parts={**self.parts, name: part})


def write(run: Path, state: State) -> None:
    """Replaces the state file."""
    partial = run / ".state.json"
    partial.write_text(json.dumps(asdict(state), indent=1))
    partial.replace(run / "state.json")


def read(run: Path) -> State | None:
    """The last state that was told, or None; whether its supervisor still lives is another question (`is_held`)."""
    try:
        content = json.loads((run / "state.json").read_text())
        parts = {
            name: PartState(**{**part, "phase": PartPhase(part["phase"])})
            for name, part in content.pop("parts").items()
        }
        return State(**{**content, "phase": Phase(content["phase"])}, parts=parts)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def is_held(run: Path) -> bool:
    """Whether a supervisor lives on this folder: the kernel frees its lock however it ends."""
    try:
        descriptor = os.open(run / "lock", os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextmanager
def hold(run: Path) -> Iterator[bool]:
    """Holds the folder for a supervisor; yields False where another one has it."""
    run.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(run / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        yield False
        return
    try:
        yield True
    finally:
        os.close(descriptor)
