"""One child process: in a session of its own, its output in a log, gone when its supervisor is gone."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from services.launcher.parts.program import Program
from services.launcher.settings import REPOSITORY

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)
_LOG_LIMIT_BYTES = 32 * 1024 * 1024


def die_with_parent(signum: int) -> Callable[[], None]:
    """For `preexec_fn`: asks the kernel for a signal when the parent ends, however it ends (prctl(2))."""
    parent = os.getpid()

    def ask() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signum)
        if os.getppid() != parent:  # it ended before we asked
            os.kill(os.getpid(), signal.SIGKILL)

    return ask


class Child:
    """A started program."""

    def __init__(self, process: asyncio.subprocess.Process, program: Program) -> None:
        self._process = process
        self._program = program

    @classmethod
    async def start(cls, program: Program, log: Path) -> Child:
        """Starts a program; its output is appended to `log`."""
        with _open_log(log) as output:
            process = await asyncio.create_subprocess_exec(
                *program.argv,
                env=dict(program.environment),
                cwd=REPOSITORY,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=die_with_parent(program.orphan_signal),
            )
        return cls(process, program)

    @property
    def pid(self) -> int:
        """Its process id, which is its process group's and session's too."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it still runs."""
        return self._process.returncode is None

    async def ended(self) -> int:
        """Waits for its end; the exit status, negative for a signal."""
        return await self._process.wait()

    async def stop(self) -> None:
        """Asks it to end, waits its grace, then kills what is left of its group."""
        if self.running:
            with suppress(ProcessLookupError):
                self._process.send_signal(self._program.stop_signal)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), self._program.grace_seconds)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        await self._process.wait()


def _open_log(log: Path) -> BinaryIO:
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > _LOG_LIMIT_BYTES:
        log.replace(log.with_suffix(".log.1"))
    return log.open("ab")


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 16384))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
