"""The connection of an association: exact reads under a deadline, with TLS or without."""

from __future__ import annotations

import select
import socket
import ssl
import struct
import threading
import time
from contextlib import suppress
from typing import Final

from services.bridge.errors import AbandonedError

_QUICK_ACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)
_DISCARDED_AT_ONCE: Final = 256 * 1024


class Wire:
    """A socket that is read whole pieces at a time, and can be waited for together with a wake-up from other threads.

    One thread reads and sends; any may `wake` it.
    """

    def __init__(self, connection: socket.socket, *, piece_seconds: float) -> None:
        """Take over a connection.

        Args:
            piece_seconds: how long the peer may take for a piece that is asked for, or to take what is sent. Whoever
                sends a byte now and then is too slow all the same.
        """
        self._socket = connection
        self._tls = isinstance(connection, ssl.SSLSocket)
        self._seconds = piece_seconds
        self._bell, self._ears = socket.socketpair()
        for end in (self._bell, self._ears):
            end.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Blocking for the interpreter, so that one call of the system waits for all that is asked for.
        connection.settimeout(piece_seconds if self._tls else None)
        whole, part = divmod(piece_seconds, 1)
        limit = struct.pack("@ll", int(whole), int(part * 1_000_000))
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            connection.setsockopt(socket.SOL_SOCKET, option, limit)
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)
        self._poll.register(self._ears, select.POLLIN)
        self._number = connection.fileno()
        self._lock = threading.Lock()
        self._open = True

    def wait(self, seconds: float) -> bool:
        """Wait until there is something to read, or somebody wakes us; whether there is something to read."""
        if self._tls and self._pending():
            return True
        readable = False
        for number, _ in self._poll.poll(seconds * 1000):
            if number == self._number:
                readable = True
            else:
                self._listen()
        return readable

    def wake(self) -> None:
        """End a `wait`, now or the next one; for any thread."""
        with self._lock:
            if self._open:
                with suppress(BlockingIOError):  # it has been rung often enough
                    self._bell.send(b"!")

    def read(self, size: int) -> bytes:
        """Read exactly so many bytes.

        Raises:
            AbandonedError: the peer closed the connection, or was too slow.
        """
        data = bytearray(size)
        self.fill(memoryview(data))
        if _QUICK_ACK is not None:
            # Many a peer writes the few bytes of a header by themselves, and waits with the rest until they are
            # acknowledged: at once, not when the system finds the time (40 ms). It has to be said each time.
            with suppress(OSError):  # it is gone, as the next step will find
                self._socket.setsockopt(socket.IPPROTO_TCP, _QUICK_ACK, 1)
        return bytes(data)

    def fill(self, into: memoryview) -> None:
        """Read exactly as many bytes as `into` has room for.

        Raises:
            AbandonedError: the peer closed the connection, or was too slow.
        """
        flags = 0 if self._tls else socket.MSG_WAITALL
        at, until = 0, time.monotonic() + self._seconds
        try:
            while at < len(into):
                got = self._socket.recv_into(into[at:], len(into) - at, flags)
                at += got
                if not got or (at < len(into) and time.monotonic() > until):
                    raise AbandonedError
        except OSError:
            raise AbandonedError from None

    def discard(self) -> bool:
        """Read away what is there; whether the peer may send more."""
        try:
            return bool(self._socket.recv(_DISCARDED_AT_ONCE))
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except OSError:
            return False

    def send(self, data: bytes) -> None:
        """Send all of it.

        Raises:
            AbandonedError: the peer closed the connection, or does not read.
        """
        try:
            self._socket.sendall(data)
        except OSError:
            raise AbandonedError from None

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._open = False
            for each in (self._socket, self._bell, self._ears):
                each.close()

    def _pending(self) -> bool:
        try:
            return isinstance(self._socket, ssl.SSLSocket) and bool(self._socket.pending())
        except (OSError, ValueError):
            return False

    def _listen(self) -> None:
        with suppress(BlockingIOError):
            self._ears.recv(4096)
