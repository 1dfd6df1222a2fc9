"""Objects as files: `<root>/<first 3 digits>/<sha256>`, each written whole or not at all.

A draft becomes visible by rename after its bytes are on the disk, and the rename is forced to the disk as well. What
waits while some drafts are on their way goes together into the next lot: forcing many files at once costs the disk
little more than forcing one. 4096 folders keep each one small up to hundreds of millions of objects.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TypeVar
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from services.store import disk
from services.store.drafts import Draft
from services.store.errors import ObjectMissing, ObjectsAddress, ObjectsUnavailable
from services.store.objects import CHUNK_BYTES, ObjectStore

_INCOMING = "incoming"
_REMOVED = "removed"
_LEFT_SECONDS = 24 * 3600
_LOT = 64
_LOTS_AT_ONCE = 2  # one is written while another is forced to the disk
_FORCED_AT_ONCE = 16


T = TypeVar("T")


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
        self._waiting: deque[_Waiting] = deque()
        self._keeping = 0
        self._keepers: set[asyncio.Task[None]] = set()
        self._disk = ThreadPoolExecutor(_FORCED_AT_ONCE, "disk")

    def draft(self, *, hashed: bool = True) -> Draft:
        """A place for bytes that come in, on the same file system as the objects."""
        return Draft(self._root / _INCOMING, hashed=hashed)

    async def keep(self, draft: Draft) -> str:
        """Make a sealed draft durable: see `ObjectStore.keep`."""
        waiting = _Waiting(draft, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._keeping < _LOTS_AT_ONCE:
            self._keeping += 1
            keeper = asyncio.create_task(self._keep_waiting(), context=Context())
            self._keepers.add(keeper)  # a task that nobody holds may vanish
            keeper.add_done_callback(self._keepers.discard)
        # Shielded: who goes away does not take from under the thread what it writes.
        await asyncio.shield(waiting.kept)
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

    async def remove(self, digest: str, *, untouched_seconds: float) -> bool:
        """Remove an object: see `ObjectStore.remove`."""
        return await asyncio.to_thread(self._remove, digest, untouched_seconds)

    async def sweep(self) -> None:
        """Remove old drafts: see `ObjectStore.sweep`."""
        await asyncio.to_thread(self._sweep)

    def path(self, digest: str) -> Path:
        """The object's file."""
        return self._root / digest[:3] / digest

    async def _keep_waiting(self) -> None:
        while self._waiting:
            lot = [self._waiting.popleft() for _ in range(min(_LOT, len(self._waiting)))]
            await self._keep_and_tell(lot)
        # At once, not when the task has been seen to end: whoever comes in between would wait for nobody.
        self._keeping -= 1

    async def _keep_and_tell(self, lot: Sequence[_Waiting]) -> None:
        faults: Sequence[Exception | None]
        try:
            faults = await asyncio.to_thread(self._keep_lot, [waiting.draft for waiting in lot])
        except Exception as error:  # noqa: BLE001  # whoever waits has to hear of it, whatever it is
            faults = [error] * len(lot)
        for waiting, fault in zip(lot, faults, strict=True):
            if waiting.kept.done():
                continue
            match fault:
                case None:
                    waiting.kept.set_result(None)
                case OSError():
                    waiting.kept.set_exception(ObjectsUnavailable(type(fault).__name__))
                case _:
                    waiting.kept.set_exception(fault)

    def _keep_lot(self, drafts: Sequence[Draft]) -> list[OSError | None]:
        """Make drafts durable; what went wrong with each. All bytes are forced, then all are named, then all names."""
        lot = [_Placing(draft) for draft in drafts]
        self._together(self._prepare, lot)
        self._make_folders([placing for placing in lot if placing.source is not None])
        in_folder: dict[Path, list[_Placing]] = defaultdict(list)
        for placing in lot:
            target = self.path(placing.draft.digest)
            with placing:
                if placing.source is not None:
                    placing.source.rename(target)
            if placing.fault is None:
                # Also where it was there already: whoever put it there may not have come so far yet.
                in_folder[target.parent].append(placing)
        self._together(_force_folder, list(in_folder.items()))
        return [placing.fault for placing in lot]

    def _together(self, work: Callable[[T], None], all_of: Sequence[T]) -> None:
        if len(all_of) == 1:
            work(all_of[0])
        else:
            list(self._disk.map(work, all_of))

    def _prepare(self, placing: _Placing) -> None:
        """Bring the bytes of a draft to the disk, unless they are there."""
        draft = placing.draft
        with placing:
            if _touched(self.path(draft.digest)):
                return
            if draft.file is not None:
                disk.force_file(draft.file)
                placing.source = draft.file
            else:
                placing.source = self._written(draft.content)

    def _written(self, content: bytes | mmap.mmap) -> Path:
        partial = self._root / _INCOMING / uuid4().hex
        try:
            disk.write_file(partial, content)
        except FileNotFoundError:
            partial.parent.mkdir(parents=True, exist_ok=True)
            disk.write_file(partial, content)
        return partial

    def _make_folders(self, new: Sequence[_Placing]) -> None:
        """Make the folders that are not there yet; the disk is asked once for all of them."""
        homeless = [placing for placing in new if not self.path(placing.draft.digest).parent.is_dir()]
        if not homeless:
            return
        for placing in homeless:
            with placing:
                self.path(placing.draft.digest).parent.mkdir(parents=True, exist_ok=True)
        try:
            disk.force_folder(self._root)
        except OSError as error:
            for placing in homeless:
                placing.fail(error)

    def _remove(self, digest: str, untouched_seconds: float) -> bool:
        """Take it out of its place first: who keeps it from then on writes it anew, who did before has touched it."""
        place, aside = self.path(digest), self._root / _REMOVED / digest
        try:
            if place.stat().st_mtime > time.time() - untouched_seconds:
                return False
            aside.parent.mkdir(parents=True, exist_ok=True)
            place.rename(aside)
            if aside.stat().st_mtime > time.time() - untouched_seconds:
                aside.rename(place)
                return False
            aside.unlink()
            disk.force_folder(place.parent)
        except FileNotFoundError:
            return True
        except OSError as error:
            raise ObjectsUnavailable(type(error).__name__) from error
        return True

    def _sweep(self) -> None:
        try:
            # Who was killed while he removed one: it goes back, and is looked at again.
            for aside in (self._root / _REMOVED).glob("*"):
                aside.rename(self.path(aside.name))
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


@dataclass(slots=True)
class _Waiting:
    """A draft that is to be kept, and who waits for it."""

    draft: Draft
    kept: asyncio.Future[None]


class _Placing:
    """A draft on its way to its place. As a context: what the disk does not take is noted, and ends it.

    Attributes:
        source: the file that is to be placed; None when there is nothing to place.
        fault: what went wrong.
    """

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.source: Path | None = None
        self.fault: OSError | None = None

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> bool:
        if isinstance(error, OSError):
            self.fail(error)
            return True
        return False

    def fail(self, error: OSError) -> None:
        """Note what went wrong, and clear away."""
        self.fault = error
        if self.source is not None and self.draft.file is None:
            self.source.unlink(missing_ok=True)
        self.source = None


def _touched(path: Path) -> bool:
    """Whether it is there; if so, it is not removed within the time that it takes to name it (`_remove`)."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


def _force_folder(held: tuple[Path, list[_Placing]]) -> None:
    folder, placed = held
    try:
        disk.force_folder(folder)
    except OSError as error:
        for placing in placed:
            placing.fault = error


def _pread(opened: int, length: int, offset: int) -> bytes:
    try:
        return os.pread(opened, length, offset)
    except OSError as error:
        raise ObjectsUnavailable(type(error).__name__) from error
