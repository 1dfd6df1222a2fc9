"""Objects on this machine, read at once where the page cache has them: a thread costs more than such a read."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, Protocol

from services.archive.ports import Objects

_AT_ONCE: Final = 2 * 1024**2
"""More than this is read in a thread: it would keep the others waiting."""

_CHUNK_BYTES: Final = 512 * 1024


class Store(Objects, Protocol):
    """An object store that knows where its objects lie; `services.store.objects.ObjectStore` is one."""

    def path(self, digest: str) -> Path | None:
        """The object as a local file, where there is one."""


class NearbyObjects:
    """`Objects` of a store, past its threads where nothing has to be waited for."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def read(self, digest: str, offset: int = 0, length: int | None = None) -> bytes:
        """See `Objects.read`."""
        if length is not None and 0 < length <= _AT_ONCE:
            path = self._store.path(digest)
            data = _cached(path, offset, length) if path is not None else None
            if data is not None:
                return data
        return await self._store.read(digest, offset, length)

    async def stream(
        self, digest: str, offset: int = 0, length: int | None = None, chunk: int = _CHUNK_BYTES
    ) -> AsyncIterator[bytes]:
        """See `Objects.stream`."""
        if length is not None and length <= chunk:
            yield await self.read(digest, offset, length)
            return
        async for data in self._store.stream(digest, offset, length, chunk):
            yield data


def _cached(path: Path, offset: int, length: int) -> bytes | None:
    """The bytes, if both ends of the range are in the page cache; None: ask the disk, in a thread.

    What lies between two ends in memory came with them by read-ahead, but for rare cases, which cost one read.
    """
    try:
        opened = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        probe = [bytearray(1)]
        for at in (offset, offset + length - 1):
            if os.preadv(opened, probe, at, os.RWF_NOWAIT) != 1:
                return None
        data = os.pread(opened, length, offset)
    except OSError:  # not cached (EAGAIN), or a file system that cannot tell
        return None
    finally:
        os.close(opened)
    return data if len(data) == length else None
