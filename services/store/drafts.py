"""Bytes on their way into the object store: small ones in memory, large ones on disk, so that memory stays flat."""

from __future__ import annotations

import asyncio
import hashlib
import mmap
import os
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self
from uuid import uuid4

from services.store.errors import ObjectsUnavailable

MEMORY_BYTES = 4 * 1024 * 1024
"""A draft up to this size stays in memory: a CT or MR slice is written once, and never read back."""
_PIECE_BYTES = 1024 * 1024


class Draft:
    """The bytes of one object while they come in. Use as `async with store.draft() as draft`: what was not kept goes.

    Write, then `seal` once, then look at `content` and hand the draft to `ObjectStore.keep`.

    Attributes:
        size: bytes so far.
        file: where they lie, if not in memory.
    """

    def __init__(self, folder: Path | None, *, memory_bytes: int = MEMORY_BYTES, hashed: bool = True) -> None:
        """An empty draft; `folder` gets the ones larger than `memory_bytes`. Without a folder, none leaves memory.

        Without `hashed` it has no digest: for bytes that are never kept.
        """
        self.size = 0
        self._hashed = hashed
        self._pending = 0
        self.file: Path | None = None
        self._folder = folder
        self._memory_bytes = memory_bytes
        self._parts: list[bytes] = []
        self._open: BinaryIO | None = None
        self._hash = hashlib.sha256()
        self._content: bytes | mmap.mmap = b""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trail: TracebackType | None
    ) -> None:
        await self.discard()

    async def write(self, data: bytes) -> None:
        """Add bytes.

        Raises:
            ObjectsUnavailable: the disk did not take them.
        """
        self.size += len(data)
        self._pending += len(data)
        self._parts.append(data)
        if self._folder is None or self._pending <= (_PIECE_BYTES if self.large else self._memory_bytes):
            return
        await asyncio.to_thread(self._spill)

    @property
    def large(self) -> bool:
        """Whether the bytes have left memory: what is done with all of them is work for a thread."""
        return self._open is not None

    def seal(self) -> None:
        """End the writing; blocking where the draft is `large`.

        Raises:
            ObjectsUnavailable: the disk did not take the rest.
        """
        if self._open is None:
            self._content = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
            self._parts = []
        else:
            self._spill()
            try:
                self._open.flush()
                self._content = mmap.mmap(self._open.fileno(), 0, access=mmap.ACCESS_READ)
            except OSError as error:
                raise ObjectsUnavailable(type(error).__name__) from error

    @cached_property
    def digest(self) -> str:
        """The sha256 of a sealed draft, hex. Reckoned when it is asked for the first time, best in a thread."""
        if self._open is None:
            self._hash.update(self._content)
        return self._hash.hexdigest()

    @property
    def content(self) -> bytes | mmap.mmap:
        """All bytes of a sealed draft, until it is discarded."""
        return self._content

    async def read(self, offset: int, length: int) -> bytes:
        """Some bytes of a sealed draft. Of a large one, they are not looked for in mapped memory, which would fill up.

        Raises:
            ObjectsUnavailable: they could not be read.
        """
        if self._open is None:
            return bytes(self._content[offset : offset + length])
        try:
            data = await asyncio.to_thread(os.pread, self._open.fileno(), length, offset)
        except OSError as error:
            raise ObjectsUnavailable(type(error).__name__) from error
        if len(data) != length:
            raise ObjectsUnavailable("cut short")
        return data

    async def discard(self) -> None:
        """Let go of memory and file. Of a draft that was kept, nothing is left to remove."""
        self._parts = []
        if isinstance(self._content, mmap.mmap):
            with suppress(BufferError):  # someone still looks at it: it goes when they do
                self._content.close()
        self._content = b""
        if self._open is not None:
            await asyncio.to_thread(self._remove)

    def _spill(self) -> None:
        try:
            if self._open is None:
                assert self._folder is not None  # noqa: S101  # `write` asked
                self._folder.mkdir(parents=True, exist_ok=True)
                self.file = self._folder / uuid4().hex
                self._open = self.file.open("xb+", buffering=0)
            for part in self._parts:
                if self._hashed:
                    self._hash.update(part)
                view = memoryview(part)
                while view:
                    view = view[self._open.write(view) :]
        except OSError as error:
            raise ObjectsUnavailable(type(error).__name__) from error
        self._parts, self._pending = [], 0

    def _remove(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None
        if self.file is not None:
            self.file.unlink(missing_ok=True)
            self.file = None
