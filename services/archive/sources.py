"""The bytes of an instance by ranges, whether it is stored as it is, deflated, or at hand."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from typing import Final, Protocol

from services.archive.errors import NotDecodable
from services.archive.ports import Objects
from services.dicom import part10

_CHUNK: Final = 512 * 1024


class Source(Protocol):
    """Where the ranges of a layout are read."""

    async def read(self, offset: int, length: int) -> bytes:
        """A range; shorter at the end of the file."""


class AtHand:
    """A file in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def read(self, offset: int, length: int) -> bytes:
        """See `Source.read`."""
        return self._data[offset : offset + length]


class Stored:
    """An object, a range read each."""

    def __init__(self, objects: Objects, digest: str) -> None:
        self._objects = objects
        self._digest = digest

    async def read(self, offset: int, length: int) -> bytes:
        """See `Source.read`."""
        return await self._objects.read(self._digest, offset, length)


class Inflating:
    """A deflated object (PS3.5 A.5), inflated as far as it is read: ranges are cheap in ascending order only.

    It holds no more than a range and a chunk, however much the stream inflates to.
    """

    def __init__(self, objects: Objects, digest: str) -> None:
        self._objects = objects
        self._digest = digest
        self._pieces: AsyncIterator[bytes] | None = None
        self._at = 0
        self._held = b""

    async def read(self, offset: int, length: int) -> bytes:
        """See `Source.read`."""
        if self._pieces is None or offset < self._at:
            self._pieces, self._at, self._held = self._inflated(), 0, b""
        made = bytearray()
        while len(made) < length:
            if not self._held:
                self._held = await anext(self._pieces, b"")
                if not self._held:
                    break
            skipped = min(offset + len(made) - self._at, len(self._held))
            taken = self._held[skipped : skipped + length - len(made)]
            made += taken
            self._at += skipped + len(taken)
            self._held = self._held[skipped + len(taken) :]
        return bytes(made)

    async def _inflated(self) -> AsyncIterator[bytes]:
        stream = zlib.decompressobj(-zlib.MAX_WBITS)
        begun = False
        async for chunk in self._objects.stream(self._digest, 0, None, _CHUNK):
            packed = chunk
            if not begun:
                start = part10.data_set_start(chunk)
                yield chunk[:start]
                begun, packed = True, chunk[start:]
            while packed and not stream.eof:
                try:
                    yield stream.decompress(packed, _CHUNK)
                except zlib.error:
                    raise NotDecodable from None
                packed = stream.unconsumed_tail
