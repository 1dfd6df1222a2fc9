"""From the threads of an association into the event loop: instances and their bytes, with back pressure.

pynetdicom runs an association in two threads: one reads the network, one answers. A `Transfer` is written by the first,
read by the event loop, and awaited by the second. At most `_CHUNKS_AHEAD` chunks wait between them: when ingest is
slower than the sender, the sender's connection fills up, not our memory.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import AsyncIterator, Callable
from enum import Enum, auto

from services.bridge.errors import AbandonedError
from services.bridge.model import OUT_OF_RESOURCES, Announced, Answer, Peer

_CHUNKS_AHEAD = 2
_LOOK_SECONDS = 5.0


class _End(Enum):
    COMPLETE = auto()
    ABANDONED = auto()


class Transfer:
    """One instance on its way. `write`, `finish`, `abandon` and `wait` are for threads, the rest for the event loop."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, announced: Announced, header: bytes, *, chunk_bytes: int
    ) -> None:
        self.announced = announced
        self.size = 0
        self._loop = loop
        self._chunk_bytes = chunk_bytes
        self._room = threading.Semaphore(_CHUNKS_AHEAD)
        self._chunks: asyncio.Queue[bytes | _End] = asyncio.Queue()
        self._answer: concurrent.futures.Future[Answer] = concurrent.futures.Future()
        self._pending = bytearray(header)
        self._ended = False

    def write(self, data: bytes) -> None:
        """Take the next bytes of the data set; waits while the event loop has enough."""
        self._pending += data
        while len(self._pending) >= self._chunk_bytes:
            self._hand_over(bytes(self._pending[: self._chunk_bytes]))
            del self._pending[: self._chunk_bytes]

    def finish(self) -> None:
        """The data set is complete."""
        if not self._ended:
            if self._pending:
                self._hand_over(bytes(self._pending))
            self._end(_End.COMPLETE)

    def abandon(self) -> None:
        """The rest will not come."""
        if not self._ended:
            self._end(_End.ABANDONED)

    def wait(self, seconds: float) -> Answer:
        """The answer for the sender. None within `seconds` is not a success either."""
        try:
            return self._answer.result(seconds)
        except (TimeoutError, concurrent.futures.CancelledError):
            return Answer(OUT_OF_RESOURCES, "no answer from the archive")

    async def file(self) -> AsyncIterator[bytes]:
        """The PS3.10 file, in chunks, as it arrives.

        Raises:
            AbandonedError: the sender went away before its end.
        """
        while not isinstance(chunk := await self._chunks.get(), _End):
            self._room.release()
            self.size += len(chunk)
            yield chunk
        if chunk is _End.ABANDONED:
            raise AbandonedError

    def answer(self, answer: Answer) -> None:
        """Tell the sender; only the first answer counts."""
        if not self._answer.done():
            self._answer.set_result(answer)
            self._room.release()  # a thread may wait to hand over what nobody will read

    async def done(self) -> None:
        """Return once the sender may be told."""
        await asyncio.shield(asyncio.wrap_future(self._answer))

    def _hand_over(self, chunk: bytes) -> None:
        while not self._answer.done():  # what comes after an early answer is dropped
            if self._room.acquire(timeout=_LOOK_SECONDS):
                self._loop.call_soon_threadsafe(self._chunks.put_nowait, chunk)
                return

    def _end(self, end: _End) -> None:
        self._ended = True
        self._pending.clear()
        self._loop.call_soon_threadsafe(self._chunks.put_nowait, end)


class Inbox:
    """An association as the event loop sees it. `begin` and `close` are for threads, the rest for the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, chunk_bytes: int, alive: Callable[[], bool]) -> None:
        self.peer = Peer("", "", "")
        self.ending = ""
        self._loop = loop
        self._chunk_bytes = chunk_bytes
        self._alive = alive
        self._waiting: asyncio.Queue[Transfer | None] = asyncio.Queue()
        self._current: Transfer | None = None
        self._lock = threading.Lock()

    def begin(self, announced: Announced, header: bytes, *, patience: float) -> Transfer:
        """The next instance begins. A sender who did not wait for the last answer (PS3.7 D.3.3.3) waits here."""
        if self._current is not None:
            self._current.wait(patience)
        self._current = Transfer(self._loop, announced, header, chunk_bytes=self._chunk_bytes)
        self._loop.call_soon_threadsafe(self._waiting.put_nowait, self._current)
        return self._current

    def close(self, ending: str) -> None:
        """The association has ended; only the first ending counts. An instance that is not complete is abandoned."""
        with self._lock:
            if self.ending:
                return
            self.ending = ending
        if self._current is not None:
            self._current.abandon()
        self._loop.call_soon_threadsafe(self._waiting.put_nowait, None)

    async def next(self) -> Transfer | None:
        """The next instance; `None` once the association has ended and nothing is left."""
        while True:
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    return await self._waiting.get()
            except TimeoutError:
                if not self._alive():  # its threads died without a word
                    self.close("aborted")

    async def between(self) -> None:
        """Return when no instance is in hand, or the one that is has its answer."""
        if self._current is not None:
            await self._current.done()
