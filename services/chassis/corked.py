"""HTTP answers in as few packets as they need: head and body of an answer leave by one system call.

uvicorn writes the head of an answer by itself, and each piece of its body. Every such write is a system call that wakes
the client, for a few hundred bytes; on loopback, behind our own edge, that costs more than all the rest of a small
answer.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_FULL: Final = 64 * 1024
"""With so much to write nobody waits for more: it is what a socket takes at least, and where flow control begins."""


class CorkedHttp(HttpToolsProtocol):
    """uvicorn's HTTP/1.1, whose writes wait for those that follow at once."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Keep the connection corked."""
        super().connection_made(transport)
        self.transport = _Corked(transport, self.loop)  # type: ignore[assignment]  # all of it that uvicorn uses


class _Corked:
    """A transport that writes when there is enough, or when the event loop comes around."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        """Write soon."""
        if not data:
            return
        if not self._held:
            self._loop.call_soon(self._flush)
        self._held.append(data)
        self._size += len(data)
        if self._size >= _FULL:
            self._flush()

    def close(self) -> None:
        """Close when all is written."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._held:
            held, self._held, self._size = self._held, [], 0
            self._transport.writelines(held)

    def __getattr__(self, name: str) -> Any:
        """All else is the transport's."""
        return getattr(self._transport, name)
