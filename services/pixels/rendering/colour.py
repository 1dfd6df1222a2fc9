"""Colour pixels -> red, green and blue of 8 bits (PS3.3 C.7.6.3.1.2)."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]

_FULL: Final = np.array([[1, 0, 1.402], [1, -0.344136, -0.714136], [1, 1.772, 0]], dtype=np.float32)
"""CCIR 601-2 luminance and chrominance of the full range, back to RGB."""

_PARTIAL: Final = np.array([[1.1644, 0, 1.5960], [1.1644, -0.3918, -0.8130], [1.1644, 2.0172, 0]], dtype=np.float32)
"""The same where black is 16 and white is 235."""


def rgb(samples: NDArray[Any], photometric: str, stored: int) -> Rgb:
    """Give red, green and blue.

    Args:
        samples: rows × columns × 3; of a fourth one, as the retired ARGB and CMYK had, nothing is shown.
        photometric: what they are: Photometric Interpretation of these samples, after decoding.
        stored: Bits Stored.
    """
    eight = _eight_bits(samples[..., :3], stored)
    match photometric:
        case "YBR_FULL" | "YBR_FULL_422":
            return _converted(eight, _FULL, 0)
        case "YBR_PARTIAL_422" | "YBR_PARTIAL_420":
            return _converted(eight, _PARTIAL, 16)
        case _:
            return eight


def _eight_bits(samples: NDArray[Any], stored: int) -> Rgb:
    if samples.dtype.itemsize == 1:
        cells: Rgb = samples.view(np.uint8)
        return cells if stored >= 8 else (cells.astype(np.uint16) * 255 // ((1 << stored) - 1)).astype(np.uint8)
    shift = stored - 8
    return (samples >> shift if shift >= 0 else samples << -shift).astype(np.uint8)


def _converted(ybr: Rgb, matrix: NDArray[np.float32], black: int) -> Rgb:
    centred = ybr.astype(np.float32)
    centred -= np.array([black, 128, 128], dtype=np.float32)
    made = centred @ matrix.T
    made += 0.5
    return np.clip(made, 0, 255, out=made).astype(np.uint8)
