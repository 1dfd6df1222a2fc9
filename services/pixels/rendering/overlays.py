"""Overlay planes of groups 60xx (PS3.3 C.9.2), also those in unused bits of the pixels (PS3.5 8.1.2, retired)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Overlay:
    """One plane.

    Attributes:
        rows: of it.
        columns: of it.
        top: row of the image, from 1, of its first row; may be outside.
        left: column of the image, likewise.
        data: its bits, lowest first, without gaps; empty when they are in the pixels.
        bit: which bit of the pixels it is in, where it is there.
        skip: bits of `data` before this frame's plane.
    """

    rows: int
    columns: int
    top: int = 1
    left: int = 1
    data: bytes = b""
    bit: int = 0
    skip: int = 0

    def mask(self, pixels: NDArray[Any], shape: tuple[int, int]) -> NDArray[np.bool_]:
        """Say of each pixel of the image whether the plane covers it.

        Args:
            pixels: the cells as they lie in Pixel Data.
            shape: rows and columns of the image.
        """
        if not self.data:
            cells = pixels.view(f"u{pixels.dtype.itemsize}")
            return (cells >> self.bit & 1).astype(np.bool_)
        count = self.rows * self.columns
        first = self.skip // 8
        packed = np.frombuffer(self.data, np.uint8)[first : (self.skip + count + 7) // 8]
        bits = np.unpackbits(packed, bitorder="little")[self.skip - 8 * first :][:count]
        if bits.size < count:
            return np.zeros(shape, dtype=np.bool_)
        return _placed(bits.reshape(self.rows, self.columns).astype(np.bool_), self.top - 1, self.left - 1, shape)


def _placed(plane: NDArray[np.bool_], top: int, left: int, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Lay the plane onto an empty image, cutting what is outside."""
    whole = np.zeros(shape, dtype=np.bool_)
    rows, columns = plane.shape
    bottom, right = min(top + rows, shape[0]), min(left + columns, shape[1])
    up, near = max(top, 0), max(left, 0)
    if up < bottom and near < right:
        whole[up:bottom, near:right] = plane[up - top : bottom - top, near - left : right - left]
    return whole
