"""What it takes to run a part: a program, a question whether it is ready, and what must be done around it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

BIN = Path(sys.prefix) / "bin"
"""Programs that come as locked Python packages."""

_INHERITED = ("PATH", "HOME", "LANG", "TZ", "TMPDIR", "SSL_CERT_FILE")


@dataclass(frozen=True, slots=True)
class Program:
    """A process to start. Its environment is complete: nothing of the caller's leaks in, secrets included."""

    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_signal: signal.Signals = signal.SIGTERM
    grace_seconds: float = 15.0
    orphan_signal: signal.Signals = signal.SIGKILL
    """What it gets from the kernel when the supervisor dies without a word."""


class Runnable(Protocol):
    """A part as the supervisor sees it."""

    def prepare(self) -> Program:
        """Makes what the program needs on disk (may block) and says how to start it."""
        ...

    async def ready(self) -> bool:
        """Whether it can be used now; False or an OSError means not yet."""
        ...

    def provision(self) -> None:
        """What must be done each time once it is ready (may block)."""
        ...

    def tidy(self) -> None:
        """What a dead process may have left behind (may block)."""
        ...


def base_environment() -> dict[str, str]:
    """The few variables of the caller that every program gets."""
    return {name: os.environ[name] for name in _INHERITED if name in os.environ}
