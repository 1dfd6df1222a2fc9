"""Running the installers quietly: their output goes to a file, whose tail is shown when one fails."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.launcher.errors import SetupError
from services.launcher.settings import REPOSITORY

LOG = REPOSITORY / ".venv" / "setup.log"
_TAIL_LINES = 15


@dataclass(frozen=True, slots=True)
class Step:
    """Something to set up: a title for people, whether it is there, and how to make it so."""

    title: str
    done: Callable[[], bool]
    make: Callable[[], None]
    optional: bool = False
    """The mesh runs without it, less something that the error says."""


def run(
    what: str, command: Sequence[str], *, environment: Mapping[str, str] | None = None, cwd: Path | None = None
) -> None:
    """Runs an installer.

    Raises:
        SetupError: it failed; holds the last lines of its output.
    """
    with LOG.open("ab") as log:
        start = log.tell()
        log.write(f"$ {' '.join(command)}\n".encode())
        log.flush()
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            cwd=cwd,
            check=False,
        )
    if done.returncode == 0:
        return
    with LOG.open("rb") as log:
        log.seek(start)
        lines = log.read().decode(errors="replace").splitlines()
    tail = "\n".join(f"    {line}" for line in lines[-_TAIL_LINES:])
    raise SetupError(f"{what} failed (exit {done.returncode}); all of it is in {LOG}\n\n{tail}")
