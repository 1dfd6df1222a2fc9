"""The pool of worker processes: what may crash, hang or grow does so there, and the service goes on."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from services.archive.errors import NotDecodable, PixelsBusy, TooMuch
from services.archive.work import Work
from services.archive.worker import ANSWER, FAULT, LENGTH, MADE, QUESTION, READY, TOO_LARGE
from services.chassis.log import Log

_ROOT: Final = Path(__file__).parents[3]
_BUFFER: Final = 4 * 1024**2
_LONGEST_CODE: Final = 64
_PATIENCE: Final = 4
"""By the clock a question may take that many times what it may take of a processor, which others use as well."""

_OVERTIME: Final = (signal.SIGKILL.name, signal.SIGXCPU.name)
_ENVIRONMENT: Final = {
    "PYTHONPATH": str(_ROOT),
    "LC_ALL": "C.UTF-8",
    # One question is one thread: the pool is what makes use of the cores.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
"""All that a worker has of an environment: no secret of the service is in it."""


class WorkRefused(Exception):
    """The function refused; `code` is a word of its own."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Workers:
    """Worker processes, started when they are first needed and again when one is lost."""

    def __init__(
        self,
        *,
        count: int,
        memory_bytes: int,
        seconds: int,
        log: Log,
        waiting_seconds: float = 30,
        most_waiting: int = 256,
    ) -> None:
        """Make an empty pool.

        Args:
            count: processes at most; 0: as many as there are cores.
            memory_bytes: that one may take for a question, above what it has when idle.
            seconds: of a processor's time for a question; four times that on the clock.
            log: hears of workers that were lost.
            waiting_seconds: that a question waits for a worker at most.
            most_waiting: questions that wait at most.
        """
        self._count = count or os.cpu_count() or 1
        self._memory = memory_bytes
        self._seconds = seconds
        self._log = log
        self._waiting_seconds = waiting_seconds
        self._most_waiting = most_waiting
        self._waiting = 0
        self._free = asyncio.Semaphore(self._count)
        self._idle: list[_Worker] = []
        self._busy: set[_Worker] = set()
        self._tasks: set[asyncio.Task[bytes]] = set()
        self._threads = ThreadPoolExecutor(self._count, "pixels")

    @property
    def count(self) -> int:
        """How many questions can be answered at a time."""
        return self._count

    async def call(self, work: Work, parameters: bytes, data: Sequence[bytes] = (), *, seconds: int = 0) -> bytes:
        """Have a function done.

        Args:
            work: the function.
            parameters: its first argument.
            data: its second one.
            seconds: that it may take, if that is less than what any question may.

        Raises:
            NotDecodable: it failed, crashed or took too long.
            TooMuch: it needs more memory than it may have.
            WorkRefused: it refused, with a word of its own.
            PixelsBusy: no worker got free.
        """
        await self._admitted()
        # The worker finishes what it began also when nobody waits for it any more, and only then has a next question.
        task = asyncio.create_task(self._done(work, parameters, data, min(seconds or self._seconds, self._seconds)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    async def run(self, stopping: asyncio.Event) -> None:
        """Start a worker before it is needed, so that the first question does not wait for that."""
        with suppress(PixelsBusy):
            await self.start()
        await stopping.wait()

    async def start(self) -> None:
        """Start a worker.

        Raises:
            PixelsBusy: none can be started now.
        """
        await self._admitted()
        try:
            self._idle.append(await asyncio.get_running_loop().run_in_executor(self._threads, self._start))
        finally:
            self._free.release()

    async def close(self) -> None:
        """End all workers; questions that are being answered fail."""
        for worker in (*self._idle, *self._busy):
            worker.kill()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._threads.shutdown()
        for worker in self._idle:
            worker.end()
        self._idle.clear()

    async def _admitted(self) -> None:
        if self._waiting >= self._most_waiting:
            raise PixelsBusy
        self._waiting += 1
        try:
            async with asyncio.timeout(self._waiting_seconds):
                await self._free.acquire()
        except TimeoutError:
            raise PixelsBusy from None
        finally:
            self._waiting -= 1

    async def _done(self, work: Work, parameters: bytes, data: Sequence[bytes], seconds: int) -> bytes:
        try:
            worker = self._next()
            try:
                status, answer = await self._asked(worker, work, parameters, data, seconds)
            except _Lost as lost:
                self._log.warning("pixels.worker-lost", work=work.name.lower(), signal=lost.signal, fresh=lost.fresh)
                if lost.fresh or lost.signal in _OVERTIME:
                    raise NotDecodable from None
                # An earlier question may have left it broken. What also ends a fresh one is to blame itself.
                status, answer = await self._asked(None, work, parameters, data, seconds)
        except _Lost as lost:
            self._log.warning("pixels.worker-lost", work=work.name.lower(), signal=lost.signal, fresh=lost.fresh)
            raise NotDecodable from None
        finally:
            self._free.release()
        return answer if status == MADE else _refused(answer)

    async def _asked(
        self, worker: _Worker | None, work: Work, parameters: bytes, data: Sequence[bytes], seconds: int
    ) -> tuple[int, bytes]:
        loop = asyncio.get_running_loop()
        if worker is None:
            worker = await loop.run_in_executor(self._threads, self._start)
        self._busy.add(worker)
        alarm = loop.call_later(_PATIENCE * seconds, worker.kill)
        try:
            question = partial(worker.ask, work, parameters, data, seconds)
            return await loop.run_in_executor(self._threads, question)
        finally:
            alarm.cancel()
            self._busy.discard(worker)
            if not worker.ended:
                self._idle.append(worker)

    def _next(self) -> _Worker | None:
        while self._idle:
            worker = self._idle.pop()
            if worker.alive():
                return worker
            worker.end()
        return None

    def _start(self) -> _Worker:
        return _Worker(self._memory)


def _refused(answer: bytes) -> bytes:
    code = answer[:_LONGEST_CODE].decode("ascii", "replace")
    match code:
        case _ if code == TOO_LARGE:
            raise TooMuch
        case "undecodable" | "unencodable" | "not-described":
            raise NotDecodable
        case _ if code == FAULT:
            raise NotDecodable
        case _:
            raise WorkRefused(code)


class _Lost(Exception):
    """The worker ended without an answer."""

    def __init__(self, signal_name: str, *, fresh: bool) -> None:
        super().__init__(signal_name)
        self.signal = signal_name
        self.fresh = fresh


class _Worker:
    """One process and our end of its socket. `ask` blocks: it is called in a thread."""

    def __init__(self, memory_bytes: int) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            for end in (ours, theirs):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
            self._process = subprocess.Popen(
                [sys.executable, "-s", "-m", "services.archive.worker", str(memory_bytes)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=_ENVIRONMENT,
                cwd="/",
            )
        self._door = ours
        self._most = 2 * memory_bytes
        self._fresh = True
        self.ended = False
        # Its imports take most of a second: a question's time begins when they are done.
        if not ours.recv(len(READY)):
            self.end()
            raise PixelsBusy

    def alive(self) -> bool:
        """It has not ended by itself, or by somebody else's hand, while it was idle."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End it now; whoever waits for its answer hears that it is lost."""
        if not self.ended:
            self._process.kill()

    def ask(self, work: Work, parameters: bytes, data: Sequence[bytes], seconds: int) -> tuple[int, bytes]:
        """Put a question and wait for the answer.

        Raises:
            _Lost: it ended without one.
        """
        parts = (work.value.encode(), parameters, *data)
        fresh, self._fresh = self._fresh, False
        try:
            head = QUESTION.pack(len(parts), seconds)
            self._door.sendall(head + b"".join(LENGTH.pack(len(part)) for part in parts))
            for part in parts:
                self._door.sendall(part)
            status, ends, length = ANSWER.unpack(self._exactly(ANSWER.size))
            if length > self._most:
                raise ConnectionError
            answer = self._exactly(length)
        except OSError:
            raise _Lost(self.end(), fresh=fresh) from None
        if ends:
            self.end()
        return status, answer

    def end(self) -> str:
        """Leave no trace of it; gives the name of the signal that it ended by, if it did."""
        self.ended = True
        self._door.close()
        self._process.kill()
        code = self._process.wait()
        return signal.Signals(-code).name if code < 0 else ""

    def _exactly(self, length: int) -> bytes:
        got = self._door.recv(length, socket.MSG_WAITALL) if length else b""
        if len(got) < length:
            raise ConnectionError
        return got
