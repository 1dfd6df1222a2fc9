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
            worker = self._next()
            try:
                good, answer = self._asked(worker or _Worker(self._memory), work, parameters, data)
            except WorkRefused as lost:
                if worker is None or lost.refusal is not Refusal.LOST:
                    raise
                # An earlier question may have left it broken. What also ends a fresh one is to blame itself.
                good, answer = self._asked(_Worker(self._memory), work, parameters, data)
        if not good:
            raise WorkRefused(Refusal(answer.decode()))
        return answer

    def close(self) -> None:
        """End those that are idle; the others end with this process."""
        with self._lock:
            while self._idle:
                self._idle.pop().end()

    def _next(self) -> _Worker | None:
        """An idle one that has not ended meanwhile: it ends with the thread that started it."""
        with self._lock:
            while self._idle:
                worker = self._idle.pop()
                if worker.alive():
                    return worker
                worker.end()
        return None

    def _asked(
        self, worker: _Worker, work: Work, parameters: bytes, data: Sequence[bytes | memoryview]
    ) -> tuple[bool, bytes]:
        try:
            answered = worker.ask(work, parameters, data, self._seconds)
        except BaseException:
            worker.end()
            raise
        with self._lock:
            self._idle.append(worker)
        return answered


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
        self._overdue = False
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
        alarm = threading.Timer(_PATIENCE * seconds, self._late)
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
            overtime = self._process.wait() == -signal.SIGXCPU or self._overdue
            raise WorkRefused(Refusal.TOO_LARGE if overtime else Refusal.LOST) from None
        finally:
            alarm.cancel()

    def alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def end(self) -> None:
        """Leave no trace of it."""
        self._door.close()
        with suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait()

    def _late(self) -> None:
        self._overdue = True
        self._process.kill()

    def _exactly(self, length: int) -> bytes:
        got = self._door.recv(length, socket.MSG_WAITALL) if length else b""
        if len(got) < length:
            raise ConnectionError
        return got
