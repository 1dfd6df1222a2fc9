"""The worker processes: what may crash, hang or grow does so there, and the service goes on.

They are asked from threads, as de-identification runs in threads; who asks waits for a free one.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from services.anonymise.burned_in.work import ANSWER, HEAD, LENGTH, READY, Refusal, Work, WorkRefused

PROGRAM: tuple[str, ...] = ("-m", "services.anonymise.burned_in.worker")
"""What a worker runs."""

_ROOT: Final = Path(__file__).parents[3]
_BUFFER: Final = 4 * 1024**2
_PATIENCE: Final = 4
"""By the clock a question may take that many times what it may take of a processor, which others use as well."""
_ENVIRONMENT: Final = {
    "PYTHONPATH": str(_ROOT),
    "LC_ALL": "C.UTF-8",
    # One question is one thread: the number of workers is what makes use of the cores.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
"""All that a worker has of an environment: no secret of the service is in it."""


class Workers:
    """Worker processes, started when they are first needed and again when one is lost."""

    def __init__(self, *, count: int, memory_bytes: int, seconds: int) -> None:
        """Make an empty pool.

        Args:
            count: processes at most; 0: as many as there are cores.
            memory_bytes: that one may take for a question, above what it has when idle.
            seconds: of a processor's time for a question; four times that on the clock.
        """
        self._memory = memory_bytes
        self._seconds = seconds
        self._free = threading.Semaphore(count or os.cpu_count() or 1)
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []

    def ask(self, work: Work, parameters: bytes, data: Sequence[bytes | memoryview] = ()) -> bytes:
        """Have a function done; blocks until it is.

        Raises:
            WorkRefused: it was not.
        """
        with self._free:
            with self._lock:
                worker = self._idle.pop() if self._idle else None
            worker = worker or _Worker(self._memory)
            try:
                good, answer = worker.ask(work, parameters, data, self._seconds)
            except BaseException:
                worker.end()
                raise
            with self._lock:
                self._idle.append(worker)
        if not good:
            raise WorkRefused(Refusal(answer.decode()))
        return answer

    def close(self) -> None:
        """End those that are idle; the others end with this process."""
        with self._lock:
            while self._idle:
                self._idle.pop().end()


class _Worker:
    """One process, and our end of its socket."""

    def __init__(self, memory_bytes: int) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            for end in (ours, theirs):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
            self._process = subprocess.Popen(
                [sys.executable, "-s", *PROGRAM, str(memory_bytes)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=_ENVIRONMENT,
                cwd="/",
            )
        self._door = ours
        self._most = memory_bytes
        # Its imports take seconds: a question's time begins when they are done.
        if ours.recv(len(READY)) != READY:
            self.end()
            raise WorkRefused(Refusal.LOST)

    def ask(
        self, work: Work, parameters: bytes, data: Sequence[bytes | memoryview], seconds: int
    ) -> tuple[bool, bytes]:
        """Put a question and wait for the answer.

        Raises:
            WorkRefused: it ended without one, by its limits or by a fault.
        """
        alarm = threading.Timer(_PATIENCE * seconds, self._process.kill)
        alarm.daemon = True
        alarm.start()
        try:
            parts = (work.value.encode(), parameters, *data)
            self._door.sendall(HEAD.pack(len(parts), seconds))
            for part in parts:
                self._door.sendall(LENGTH.pack(len(part)))
                self._door.sendall(part)
            good, length = ANSWER.unpack(self._exactly(ANSWER.size))
            if length > self._most:
                raise WorkRefused(Refusal.TOO_LARGE)
            return bool(good), self._exactly(length)
        except OSError:
            overtime = self._process.wait() in (-signal.SIGXCPU, -signal.SIGKILL)
            raise WorkRefused(Refusal.TOO_LARGE if overtime else Refusal.LOST) from None
        finally:
            alarm.cancel()

    def end(self) -> None:
        """Leave no trace of it."""
        self._door.close()
        with suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait()

    def _exactly(self, length: int) -> bytes:
        got = self._door.recv(length, socket.MSG_WAITALL) if length else b""
        if len(got) < length:
            raise ConnectionError
        return got
