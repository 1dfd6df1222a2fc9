"""Objects as files: `<root>/<first 3 digits>/<sha256>`, each written whole or not at all.

A draft becomes visible by rename after its bytes are on the disk, and the rename is forced to the disk as well. 4096
folders keep each one small up to hundreds of millions of objects.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from services.store.drafts import Draft
from services.store.errors import ObjectMissing, ObjectsAddress, ObjectsUnavailable
from services.store.objects import CHUNK_BYTES, ObjectStore

_INCOMING = "incoming"
_LEFT_SECONDS = 24 * 3600


def open_objects(url: str) -> ObjectStore:
    """The object store at `url`: `file:///absolute/path` (folders are made when something is kept).

    Raises:
        ObjectsAddress: no such kind of store.
    """
    parts = urlsplit(url)
    if parts.scheme != "file" or parts.netloc or not parts.path.startswith("/"):
        raise ObjectsAddress
    return FileObjects(Path(unquote(parts.path)))


class FileObjects:
    """An `ObjectStore` in a folder."""

    def __init__(self, root: Path) -> None:
        """Objects under `root`; nothing is opened or made before it is needed."""
        self._root = root

    def draft(self) -> Draft:
        """A place for bytes that come in, on the same file system as the objects."""
        return Draft(self._root / _INCOMING)

    async def keep(self, draft: Draft) -> str:
        """Make a sealed draft durable: see `ObjectStore.keep`."""
        try:
            await asyncio.to_thread(self._keep, draft)
        except OSError as error:
            raise ObjectsUnavailable(type(error).__name__) from error
        return draft.digest

    async def read(self, digest: str, offset: int = 0, length: int | None = None) -> bytes:
        """Bytes of an object: see `ObjectStore.read`."""
        return await asyncio.to_thread(self._read, digest, offset, length)

    async def stream(
        self, digest: str, offset: int = 0, length: int | None = None, chunk: int = CHUNK_BYTES
    ) -> AsyncIterator[bytes]:
        """Bytes of an object in chunks: see `ObjectStore.stream`."""
        opened = await asyncio.to_thread(self._open, digest)
        try:
            left = await asyncio.to_thread(lambda: os.fstat(opened).st_size) - offset
            left = left if length is None else min(left, length)
            while left > 0:
                data = await asyncio.to_thread(_pread, opened, min(chunk, left), offset)
                if not data:
                    raise ObjectsUnavailable("cut short")
                yield data
                offset += len(data)
                left -= len(data)
        finally:
            os.close(opened)

    async def sweep(self) -> None:
        """Remove old drafts: see `ObjectStore.sweep`."""
        await asyncio.to_thread(self._sweep)

    def path(self, digest: str) -> Path:
        """The object's file."""
        return self._root / digest[:3] / digest

    def _keep(self, draft: Draft) -> None:
        target = self.path(draft.digest)
        if not target.exists():
            if draft.file is None:
                self._place(self._written(draft.content), target)
            else:
                draft.sync()
                self._place(draft.file, target)
        # Also where it was there already: whoever put it there may not have come so far yet.
        _sync_folder(target.parent)

    def _written(self, content: bytes | mmap.mmap) -> Path:
        partial = self._root / _INCOMING / uuid4().hex
        try:
            opened = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
        except FileNotFoundError:
            partial.parent.mkdir(parents=True, exist_ok=True)
            opened = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(opened, view) :]
            os.fsync(opened)
        except OSError:
            partial.unlink(missing_ok=True)
            raise
        finally:
            os.close(opened)
        return partial

    def _place(self, source: Path, target: Path) -> None:
        try:
            source.rename(target)
        except FileNotFoundError:  # the first object of this folder
            target.parent.mkdir(parents=True, exist_ok=True)
            _sync_folder(self._root)
            source.rename(target)

    def _sweep(self) -> None:
        try:
            for left in (self._root / _INCOMING).glob("*"):
                if left.stat().st_mtime < time.time() - _LEFT_SECONDS:
                    left.unlink(missing_ok=True)
        except OSError as error:
            raise ObjectsUnavailable(type(error).__name__) from error

    def _open(self, digest: str) -> int:
        try:
            return os.open(self.path(digest), os.O_RDONLY)
        except FileNotFoundError as error:
            raise ObjectMissing from error
        except OSError as error:
            raise ObjectsUnavailable(type(error).__name__) from error

    def _read(self, digest: str, offset: int, length: int | None) -> bytes:
        opened = self._open(digest)
        try:
            left = max(os.fstat(opened).st_size - offset, 0)
            left = left if length is None else min(left, length)
            parts = []
            while left > 0:
                data = _pread(opened, left, offset)
                if not data:
                    raise ObjectsUnavailable("cut short")
                parts.append(data)
                offset += len(data)
                left -= len(data)
            return parts[0] if len(parts) == 1 else b"".join(parts)
        finally:
            os.close(opened)


def _pread(opened: int, length: int, offset: int) -> bytes:
    try:
        return os.pread(opened, length, offset)
    except OSError as error:
        raise ObjectsUnavailable(type(error).__name__) from error


def _sync_folder(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
