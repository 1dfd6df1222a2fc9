"""Rectangles over the pixels of a frame: within them every pixel is one and the same, outside nothing changes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from services.anonymise.burned_in.model import Box

if TYPE_CHECKING:  # only a worker loads the codecs
    from services.pixels.decoding import Decoded


def masked(decoded: Decoded, boxes: Iterable[Box]) -> Decoded:
    """A frame with rectangles that show as black (PS3.3 C.7.6.3.1.2)."""
    array = decoded.array.copy()
    fill = black(decoded)
    for box in boxes:
        array[max(box.y, 0) : max(box.y + box.height, 0), max(box.x, 0) : max(box.x + box.width, 0)] = fill
    return replace(decoded, array=array)


def covered(box: Box, masks: Sequence[Box]) -> float:
    """The part of a box that masks cover."""
    seen = np.zeros((box.height, box.width), bool)
    for mask in masks:
        left, top = mask.x - box.x, mask.y - box.y
        seen[max(top, 0) : max(top + mask.height, 0), max(left, 0) : max(left + mask.width, 0)] = True
    return float(seen.mean()) if seen.size else 1.0


def black(decoded: Decoded) -> object:
    """What shows as black in a frame."""
    array = decoded.array
    match decoded.photometric:
        case "MONOCHROME1":
            return array.max()
        case "RGB":
            return 0
        case photometric if photometric.startswith("YBR"):
            middle = 1 << (8 * array.dtype.itemsize - 1)
            return (0, middle, middle)
        case _:  # the darkest value of this frame, so that no window gets wider by it
            return array.min()
