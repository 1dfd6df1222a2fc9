"""What a peer sends as P-DATA: messages, fragment by fragment (PS3.8 9.3.5 and Annex E, PS3.7 6.3).

The instance of a C-STORE goes on in chunks while it comes and is never held whole. A message of another kind is handed
over fragment by fragment, in order and in one piece: pynetdicom takes for granted that no peer does otherwise.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final, Protocol

from services.bridge import commands
from services.bridge.commands import COMMAND, LAST, P_DATA_TF, StoreRequest
from services.bridge.errors import AbandonedError, MalformedError
from services.bridge.model import Announced

LONGEST_PDU: Final = 1024 * 1024
"""More than any peer sends who keeps to the length that we announce, and room for the longest association request."""
_LONGEST_COMMAND: Final = 64 * 1024
_LONGEST_IDENTIFIER: Final = 32 * 1024 * 1024
"""Of a query, or of a request to commit some 200 000 instances."""
_PDV_HEADER: Final = 6


class InterruptedMessage(Exception):
    """Another PDU came in the middle of a message; its header has been read."""

    def __init__(self, kind: int, length: int) -> None:
        super().__init__()
        self.kind, self.length = kind, length


class Source(Protocol):
    """Where bytes come from. Both raise AbandonedError."""

    def read(self, size: int) -> bytes:
        """Exactly so many bytes."""

    def fill(self, into: memoryview) -> None:
        """Exactly as many bytes as there is room for."""


class Transfer:
    """An instance that is being received; a `services.bridge.ports.Transfer`."""

    def __init__(self, announced: Announced, chunks: Iterator[bytes]) -> None:
        self.announced = announced
        self.size = 0
        self._chunks = chunks
        self._fault: MalformedError | AbandonedError | InterruptedMessage | None = None

    def file(self) -> Iterator[bytes]:
        """See `ports.Transfer.file`."""
        while chunk := self._next():
            yield chunk

    def finish(self) -> None:
        """Let the rest pass that nobody has read.

        Raises:
            MalformedError, AbandonedError, InterruptedMessage: why there is no rest.
        """
        with suppress(AbandonedError):
            while self._fault is None and self._next():
                pass
        if self._fault is not None:
            raise self._fault

    def _next(self) -> bytes:
        try:
            chunk = next(self._chunks, b"")
        except (MalformedError, AbandonedError, InterruptedMessage) as fault:
            self._fault = fault
            raise AbandonedError from None
        self.size += len(chunk)
        return chunk


class Incoming:
    """The messages of one association.

    Args:
        source: the connection.
        store: what a C-STORE request and its data set are given to, with the presentation context; it calls `chunks`.
        other: what a fragment of any other message is given to, with the context and the message control header.
        chunk_bytes: length of the chunks of an instance.
    """

    def __init__(
        self,
        source: Source,
        *,
        store: Callable[[int, StoreRequest], None],
        other: Callable[[int, int, bytes], None],
        chunk_bytes: int,
        longest_pdu: int = LONGEST_PDU,
    ) -> None:
        self._source = source
        self._store = store
        self._other = other
        self._chunk_bytes = chunk_bytes
        self._longest_pdu = longest_pdu
        self._buffer = bytearray()
        self._left = 0

    def take(self, length: int) -> None:
        """Receive the messages that begin in a P-DATA-TF PDU, whose header was read, to their ends.

        Raises:
            MalformedError: it is not what the standard allows.
            AbandonedError: the peer has gone.
            InterruptedMessage: another PDU came.
        """
        self._begin(length)
        while self._left:
            self._message()

    def header(self) -> tuple[int, int]:
        """Type and length of the next PDU.

        Raises:
            MalformedError: there is no such PDU, or nobody sends so long a one in good faith.
        """
        kind, length = struct.unpack(">BxI", self._source.read(6))
        if not 1 <= kind <= 7 or length > self._longest_pdu:
            raise MalformedError
        return kind, length

    def release(self) -> None:
        """Let go of the memory that instances need; before the garbage collector finds it."""
        self._buffer = bytearray()

    def chunks(self, context_id: int, before: bytes) -> Iterator[bytes]:
        """The data set that follows a command set, in chunks of one length but for the last.

        Args:
            context_id: of the command set.
            before: bytes to put before it.
        """
        if not self._buffer:
            self._buffer = bytearray(self._chunk_bytes)  # one for all instances: only those who store need it
        room = memoryview(self._buffer)
        room[: len(before)] = before
        at, last = len(before), False
        while not last:
            size, last = self._fragment_of(context_id, 0)
            while size:
                part = min(size, len(room) - at)
                self._source.fill(room[at : at + part])
                at, size = at + part, size - part
                if at == len(room):
                    yield bytes(room)
                    at = 0
        if at:
            yield bytes(room[:at])

    def _message(self) -> None:
        context_id, command = self._command()
        found = commands.elements(command)
        if commands.field(found) == commands.C_STORE_RQ:
            self._store(context_id, commands.store_request(found))
            return
        self._other(context_id, COMMAND | LAST, command)
        room, last = _LONGEST_IDENTIFIER, not commands.has_data_set(found)
        while not last:
            size, last = self._fragment_of(context_id, 0)
            room -= size
            if room < 0:
                raise MalformedError
            self._other(context_id, LAST if last else 0, self._source.read(size))

    def _command(self) -> tuple[int, bytes]:
        context_id, control, size = self._fragment()
        command = b""
        while True:
            if not control & COMMAND or len(command) + size > _LONGEST_COMMAND:
                raise MalformedError
            command += self._source.read(size)
            if control & LAST:
                return context_id, command
            size, last = self._fragment_of(context_id, COMMAND)
            control = COMMAND | (LAST if last else 0)

    def _fragment_of(self, context_id: int, kind: int) -> tuple[int, bool]:
        """The next fragment, which has to be of the same message: its length, and whether it is the last."""
        its_context, control, size = self._fragment()
        if its_context != context_id or control & COMMAND != kind:
            raise MalformedError
        return size, bool(control & LAST)

    def _fragment(self) -> tuple[int, int, int]:
        if not self._left:
            kind, length = self.header()
            if kind != P_DATA_TF:
                raise InterruptedMessage(kind, length)
            self._begin(length)
        if self._left < _PDV_HEADER:
            raise MalformedError
        size, context_id, control = struct.unpack(">IBB", self._source.read(_PDV_HEADER))
        if size < 2 or size + 4 > self._left:
            raise MalformedError
        self._left -= size + 4
        return context_id, control, size - 2

    def _begin(self, length: int) -> None:
        if not length:
            raise MalformedError
        self._left = length
