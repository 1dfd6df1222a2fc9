"""Bytes to the disk and no further: whole files that are forced there before anybody hears of them.

What is stored is not what is looked at next, so it goes past the page cache where the file system lets it: that spares
a copy and the search for free pages (here three quarters of the system's share of a store), and a day's acquisitions do
not push out what viewers are reading.
"""

from __future__ import annotations

import errno
import mmap
import os
import threading
from pathlib import Path
from typing import Final

_ALIGNMENT: Final = 4096
_BUFFER_BYTES: Final = 1 << 20
_DIRECT: Final = getattr(os, "O_DIRECT", 0)
_buffers = threading.local()


def write_file(path: Path, content: bytes | mmap.mmap) -> None:
    """Write a new file and force it to the disk.

    Raises:
        OSError: the disk did not take it; nothing is left of it.
    """
    opened, direct = _new_file(path)
    try:
        if direct:
            _write_direct(opened, content)
        else:
            view = memoryview(content)
            while view:
                view = view[os.write(opened, view) :]
        os.fsync(opened)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(opened)


def force_file(path: Path) -> None:
    """Force a file that is there to the disk."""
    _force(path, os.O_RDONLY)


def force_folder(path: Path) -> None:
    """Force the names in a folder to the disk."""
    _force(path, os.O_RDONLY | os.O_DIRECTORY)


def _force(path: Path, flags: int) -> None:
    opened = os.open(path, flags)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _new_file(path: Path) -> tuple[int, bool]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    if _DIRECT:
        try:
            return os.open(path, flags | _DIRECT, 0o640), True
        except OSError as error:
            if error.errno != errno.EINVAL:  # this file system has only the page cache
                raise
            path.unlink(missing_ok=True)
    return os.open(path, flags, 0o640), False


def _write_direct(opened: int, content: bytes | mmap.mmap) -> None:
    """Write past the page cache: in whole blocks from aligned memory; what the last block has too much is cut off."""
    buffer: mmap.mmap | None = getattr(_buffers, "buffer", None)
    if buffer is None:
        buffer = _buffers.buffer = mmap.mmap(-1, _BUFFER_BYTES)
    source, size = memoryview(content), len(content)
    for at in range(0, size, _BUFFER_BYTES):
        piece = source[at : at + _BUFFER_BYTES]
        buffer[: len(piece)] = piece
        blocks = -(-len(piece) // _ALIGNMENT) * _ALIGNMENT
        if os.pwrite(opened, memoryview(buffer)[:blocks], at) != blocks:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
    os.ftruncate(opened, size)
