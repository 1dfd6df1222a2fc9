"""How samples lie in bytes: single bits packed, chrominance subsampled, one colour space or the other."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_TO_YBR: Final = np.array(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], dtype=np.float32
)
_TO_RGB: Final = np.array([[1, 0, 1.402], [1, -0.344136, -0.714136], [1, 1.772, 0]], dtype=np.float32)


def unpack(data: bytes, count: int) -> NDArray[np.uint8]:
    """Give single bits, the first one the lowest of its byte (PS3.5 8.1.1), as bytes of 0 and 1."""
    return np.unpackbits(np.frombuffer(data, np.uint8), count=count, bitorder="little")


def pack(array: NDArray[Any]) -> bytes:
    """Pack bytes of 0 and 1 into bits."""
    return np.packbits(array.reshape(-1) != 0, bitorder="little").tobytes()


def with_full_chrominance(cells: NDArray[Any], rows: int, columns: int) -> NDArray[Any]:
    """Spread 4:2:2 samples (Y1 Y2 Cb Cr, PS3.3 C.7.6.3.1.2) to three a pixel."""
    pairs = cells[: rows * columns * 2].reshape(rows, columns // 2, 4)
    full = np.empty((rows, columns // 2, 2, 3), dtype=cells.dtype)
    full[..., 0] = pairs[..., :2]
    full[..., 1:] = pairs[..., None, 2:]
    return full.reshape(rows, columns, 3)


def ybr_to_rgb(array: NDArray[Any]) -> NDArray[Any]:
    """Convert YBR_FULL to RGB, both of 8 bits."""
    centred = array.astype(np.float32) - np.array([0, 128, 128], dtype=np.float32)
    made: NDArray[Any] = np.clip(centred @ _TO_RGB.T + 0.5, 0, 255).astype(array.dtype)
    return made


def rgb_to_ybr(array: NDArray[Any]) -> NDArray[Any]:
    """Convert RGB to YBR_FULL, both of 8 bits."""
    centred = array.astype(np.float32) @ _TO_YBR.T + np.array([0.5, 128.5, 128.5], dtype=np.float32)
    made: NDArray[Any] = np.clip(centred, 0, 255).astype(array.dtype)
    return made
