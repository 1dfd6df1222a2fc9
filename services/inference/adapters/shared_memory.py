"""POSIX shared memory that survives no crash: each region is a locked file, and what nobody locks may be removed."""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

FOLDER = Path("/dev/shm")  # noqa: S108  # where Linux keeps POSIX shared memory; there is no other place
PREFIX = "plexus-inference-"


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """A piece of shared memory of ours, under `name` for whoever is to open it."""

    name: str
    memory: mmap.mmap

    def array(self, shape: tuple[int, ...], dtype: type[np.generic]) -> NDArray[np.generic]:
        """The region as an array; it stays valid as long as somebody holds it, even when the name is gone."""
        count = int(np.prod(shape))
        return np.frombuffer(self.memory, dtype, count).reshape(shape)


@contextmanager
def region(size: int, *, prefix: str = PREFIX) -> Iterator[Region]:
    """A region of `size` bytes with a name that nobody else has. The name is gone afterwards.

    Raises:
        OSError: there is no such memory, or not enough of it.
    """
    name = f"{prefix}{uuid4().hex}"
    path = FOLDER / name
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        # The lock ends with this process, however it ends: that is how leftovers are told from regions in use.
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Reserved now: a full /dev/shm is an error here, and not a signal that kills the process later.
        os.posix_fallocate(handle, 0, size)
        yield Region(name, mmap.mmap(handle, size))
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def remove_leftovers(*, prefix: str = PREFIX) -> list[str]:
    """Removes the regions of processes that are dead; returns the names."""
    removed = []
    for path in FOLDER.glob(f"{prefix}*"):
        with suppress(OSError):  # another process removes it too, or it is not ours to open
            handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
                removed.append(path.name)
            finally:
                os.close(handle)
    return removed
