"""Content codings of a request's body (RFC 9110 8.4): undone as it comes in, in small pieces, however much is in it."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from typing import Final

CODINGS: Final = ("gzip", "deflate")
"""What is understood; RFC 7694 has them told to who sends another."""
_PIECE_BYTES: Final = 256 * 1024
_WINDOW: Final = zlib.MAX_WBITS | 32  # of either kind, told by its first bytes


class BrokenCoding(Exception):
    """The body is not coded as its header says, or ends too early."""


def understood(content_encoding: str) -> bool | None:
    """Tell whether a body has to be decoded; None when it cannot be."""
    named = [name for part in content_encoding.split(",") if (name := part.strip().lower()) not in ("", "identity")]
    if not named:
        return False
    return True if len(named) == 1 and named[0].removeprefix("x-") in CODINGS else None


async def decoded(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The body without its coding.

    Raises:
        BrokenCoding: it cannot be read to its end.
    """
    stream, whole = zlib.decompressobj(_WINDOW), True
    try:
        async for chunk in body:
            left = chunk
            while left:
                yield stream.decompress(left, _PIECE_BYTES)
                left, whole = stream.unconsumed_tail, stream.eof
                if whole:  # another member may follow (RFC 1952 2.2)
                    left, stream = stream.unused_data, zlib.decompressobj(_WINDOW)
        while not whole and (piece := stream.decompress(b"", _PIECE_BYTES)):
            yield piece
            whole = stream.eof
    except zlib.error:
        raise BrokenCoding from None
    if not whole:
        raise BrokenCoding
