"""Content codings of JSON and XML (RFC 9110 8.4.1): which one the client likes best, and packing by it."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable
from enum import StrEnum
from functools import lru_cache
from typing import Final, Protocol

import brotli  # type: ignore[import-untyped]  # it publishes no types
import zstandard


class Coding(StrEnum):
    """A content coding that we write; of equal weights the first one is chosen: it packs fast and small."""

    ZSTD = "zstd"
    BROTLI = "br"
    GZIP = "gzip"
    IDENTITY = "identity"


_SMALL: Final = 1024
"""Less than this is sent as it is."""

_IN_THREAD: Final = 64 * 1024
"""More than this is packed in a thread."""

_GZIP_LEVEL: Final = 4
_BROTLI_QUALITY: Final = 4
_ZSTD_LEVEL: Final = 3


class _Packer(Protocol):
    def pack(self, data: bytes) -> bytes:
        """What comes out for some more bytes."""

    def end(self) -> bytes:
        """What is left."""


class _Gzip:
    def __init__(self) -> None:
        self._made = zlib.compressobj(_GZIP_LEVEL, wbits=31)
        self.pack = self._made.compress

    def end(self) -> bytes:
        return self._made.flush()


class _Brotli:
    def __init__(self) -> None:
        self._made = brotli.Compressor(quality=_BROTLI_QUALITY)

    def pack(self, data: bytes) -> bytes:
        return bytes(self._made.process(data))

    def end(self) -> bytes:
        return bytes(self._made.finish())


class _Zstd:
    def __init__(self) -> None:
        self._made = zstandard.ZstdCompressor(_ZSTD_LEVEL).compressobj()
        self.pack = self._made.compress

    def end(self) -> bytes:
        return self._made.flush()


_PACKERS: Final[dict[Coding, Callable[[], _Packer]]] = {
    Coding.GZIP: _Gzip,
    Coding.BROTLI: _Brotli,
    Coding.ZSTD: _Zstd,
}


@lru_cache(maxsize=512)
def coding_of(header: str | None) -> Coding:
    """Choose a coding by an Accept-Encoding header (RFC 9110 12.5.3).

    Without the header the answer goes out as it is, and so it does where nothing is acceptable.
    """
    weights = dict(filter(None, map(_weighed, (header or "").split(","))))
    weights["gzip"] = weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0)))
    best, most = Coding.IDENTITY, weights.get("identity", 0.0)
    for coding in (Coding.GZIP, Coding.BROTLI, Coding.ZSTD):
        weight = weights.get(coding, weights.get("*", 0.0))
        if weight > 0 and weight >= most:
            best, most = coding, weight
    return best


def _weighed(element: str) -> tuple[str, float] | None:
    name, _, parameters = element.partition(";")
    key, _, value = parameters.replace(" ", "").lower().partition("=")
    if not name.strip():
        return None
    try:
        weight = float(value) if key == "q" else 1.0
    except ValueError:
        weight = 1.0
    return name.strip().lower(), min(max(weight, 0.0), 1.0)


async def packed(data: bytes, coding: Coding) -> tuple[bytes, Coding]:
    """Pack a whole body; a small one stays as it is."""
    if coding is Coding.IDENTITY or len(data) < _SMALL:
        return data, Coding.IDENTITY
    if len(data) > _IN_THREAD:
        return await asyncio.to_thread(_whole, data, coding), coding
    return _whole(data, coding), coding


async def packing(chunks: AsyncIterator[bytes], coding: Coding) -> AsyncIterator[bytes]:
    """Pack a body while it is made."""
    if coding is Coding.IDENTITY:
        async for chunk in chunks:
            yield chunk
        return
    packer = _PACKERS[coding]()
    async for chunk in chunks:
        made = await asyncio.to_thread(packer.pack, chunk) if len(chunk) > _IN_THREAD else packer.pack(chunk)
        if made:
            yield made
    yield packer.end()


def _whole(data: bytes, coding: Coding) -> bytes:
    packer = _PACKERS[coding]()
    return packer.pack(data) + packer.end()
