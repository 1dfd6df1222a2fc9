"""Files that hold an array and nothing else: what is asked and answered lies in them, and is not sent.

They are regions of shared memory of whoever asks, or files in a job's folder.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

Told = dict[str, dict[str, Any]]
"""Type and shape of each output that lies in its place."""


def view(path: str, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """The array in a file, which stays as it is.

    Raises:
        OSError: it cannot be opened.
        ValueError: it is too small.
    """
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        memory = mmap.mmap(handle, 0, prot=mmap.PROT_READ)
    finally:
        os.close(handle)
    return np.frombuffer(memory, dtype, int(np.prod(shape))).reshape(shape)


class Places:
    """Files for outputs. All are opened at once: later the process may be confined."""

    def __init__(self, paths: Mapping[str, str] = MappingProxyType({})) -> None:
        """Open them, by the outputs' names. Raises OSError as `view`."""
        self.paths = dict(paths)
        self._memory = {name: _opened(path) for name, path in paths.items()}
        self._given: dict[str, NDArray[Any]] = {}

    def empty(self, name: str, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """An array for an output, in its place where it has one and fits. What it holds is not known."""
        memory, size = self._memory.get(name, b""), int(np.prod(shape)) * np.dtype(dtype).itemsize
        if not 0 < size <= len(memory):
            return np.empty(shape, dtype)
        self._given[name] = np.frombuffer(memory, dtype, int(np.prod(shape))).reshape(shape)
        return self._given[name]

    def put(self, arrays: Mapping[str, NDArray[Any]]) -> tuple[dict[str, NDArray[Any]], Told]:
        """Put outputs into their places.

        Returns:
            Those that have none, and what is to be told of the others. One that is too large for its place is told
            and not put there: whoever asked sees by its shape that it is not what was asked for.
        """
        rest, told = dict[str, NDArray[Any]](), Told()
        for name, array in arrays.items():
            if name not in self._memory:
                rest[name] = array
                continue
            told[name] = {"type": array.dtype.name, "shape": list(array.shape)}
            if self._given.get(name) is not array and 0 < array.nbytes <= len(self._memory[name]):
                self.empty(name, array.shape, array.dtype)[...] = array
        return rest, told

    def take(self, told: Told) -> dict[str, NDArray[Any]]:
        """The outputs that another process has put there."""
        return {name: self.empty(name, tuple(one["shape"]), np.dtype(one["type"])) for name, one in told.items()}


def _opened(path: str) -> mmap.mmap:
    handle = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        return mmap.mmap(handle, 0)
    finally:
        os.close(handle)
