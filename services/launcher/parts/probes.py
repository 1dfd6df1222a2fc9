"""Questions to a part over TCP, without a client library: they are asked many times while the mesh starts."""

from __future__ import annotations

import asyncio

_DEADLINE_SECONDS = 2.0


async def http_status(address: str, path: str) -> int:
    """The status of a GET.

    Raises:
        OSError: nobody answers, or not with HTTP.
    """
    host = address.rsplit(":", 1)[0]
    answer = await exchange(address, f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    parts = answer.split(b" ", 2)
    if len(parts) < 2 or not parts[0].startswith(b"HTTP/") or not parts[1].isdigit():
        raise OSError("not an HTTP answer")
    return int(parts[1])


async def exchange(address: str, request: bytes) -> bytes:
    """Sends bytes and returns the beginning of the answer.

    Raises:
        OSError: nobody answers in time.
    """
    host, port = address.rsplit(":", 1)
    async with asyncio.timeout(_DEADLINE_SECONDS):  # TimeoutError is an OSError
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(request)
            await writer.drain()
            return await reader.read(512)
        finally:
            writer.close()
