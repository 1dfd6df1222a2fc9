"""Records as DICOM audit messages by syslog over TLS (PS3.15 A.6, RFC 5424, RFC 5425).

Syslog answers nothing. A batch counts as sent when the receiver's TCP has acknowledged its last byte and the receiver
has not closed the connection; whatever comes between sends it again.
"""

from __future__ import annotations

import asyncio
import fcntl
import select
import socket
import ssl
import struct
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from services.audit.errors import ReceiverError
from services.audit.forms import coding, dicom
from services.audit.model import Entry
from services.chassis.faults import PermanentFault

_PRIORITY: Final = 10 * 8 + 5
"""Facility 10 (security/authorization), severity 5 (normal but significant), as PS3.15 A.6 recommends."""
_MESSAGE_ID: Final = "DICOM+RFC3881"
_BOM: Final = b"\xef\xbb\xbf"


def tls(ca: Path | None, certificate: Path | None, key: Path | None) -> ssl.SSLContext:
    """How a connection to a receiver is secured: BCP 195, the receiver's certificate always checked (RFC 5425, 5).

    Args:
        ca: the authorities of its certificate, PEM; the system's where it is `None`.
        certificate: our own, PEM, for a receiver that wants one, and its `key`.

    Raises:
        PermanentFault: a file is missing, or is not what it should be.
    """
    try:
        context = ssl.create_default_context(cafile=str(ca) if ca else None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if certificate is not None:
            context.load_cert_chain(certificate, key)
    except (OSError, ValueError):
        raise PermanentFault("tls-not-usable", "a certificate, key or CA file for forwarding is not usable") from None
    return context


class SyslogReceiver:
    """`Receiver` by syslog."""

    name = "syslog"

    def __init__(self, host: str, port: int, context: ssl.SSLContext, *, seconds: float) -> None:
        self._host = host
        self._port = port
        self._context = context
        self._seconds = seconds
        self._socket: ssl.SSLSocket | None = None
        self._machine = socket.gethostname() or "-"

    async def send(self, entries: Sequence[Entry], patients: Mapping[str, str]) -> None:
        """See `Receiver.send`."""
        data = b"".join(
            frame(coding.time_of(entry), self._machine, message)
            for entry in entries
            if (message := dicom.message(entry, patients)) is not None
        )
        if data:
            await asyncio.to_thread(self._send, data)

    def close(self) -> None:
        """End the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, data: bytes) -> None:
        try:
            if self._socket is None:
                plain = socket.create_connection((self._host, self._port), self._seconds)
                self._socket = self._context.wrap_socket(plain, server_hostname=self._host)
            self._socket.sendall(data)
            self._settle(self._socket)
        except OSError as error:  # ssl.SSLError is one
            self.close()
            raise ReceiverError(f"the syslog receiver did not take records ({type(error).__name__})") from error

    def _settle(self, connection: ssl.SSLSocket) -> None:
        """Wait until everything is acknowledged, or raise."""
        until = time.monotonic() + self._seconds
        ended = select.poll()
        ended.register(connection, select.POLLRDHUP)  # errors come unasked
        while _unacknowledged(connection):
            if ended.poll(1):
                raise ConnectionResetError
            if time.monotonic() > until:
                raise TimeoutError
        connection.setblocking(False)
        try:
            if not connection.recv(1):
                raise ConnectionResetError
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass  # nothing is said, and the connection stands
        finally:
            connection.settimeout(self._seconds)


def _unacknowledged(connection: socket.socket) -> int:
    """How many bytes the other side's TCP has not acknowledged (Linux: SIOCOUTQ)."""
    answer = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, struct.pack("i", 0))
    return int(struct.unpack("i", answer)[0])


def frame(at: str, machine: str, message: bytes) -> bytes:
    """A message in its frame (RFC 5425, 4.3), with the header of RFC 5424, 6."""
    header = f"<{_PRIORITY}>1 {at} {machine} plexus - {_MESSAGE_ID} - "
    body = header.encode("ascii", "replace") + _BOM + message
    return b"%d %b" % (len(body), body)
