"""The making of an image, from encoded frames to an encoded image: what a worker process does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.pixels.rendering.drawing import draw, placeholder
from services.pixels.rendering.job import Job
from services.pixels.rendering.lettering import NotWritable
from services.pixels.rendering.palettes import BrokenPalette
from services.pixels.rendering.profiles import BrokenProfile
from services.pixels.rendering.view import THUMBNAIL, InvalidParameter, Viewport
from services.pixels.rendering.writing import write

FAULTS: Final = (BrokenPalette, BrokenProfile, InvalidParameter, NotWritable)
"""What `run` raises beside the faults of decoding."""

Decode = Callable[[bytes], tuple[NDArray[Any], str]]
"""Decodes a frame: gives rows × columns, or × 3 by pixel, and their photometric interpretation by then."""


def run(job: Job, frames: Sequence[bytes], decode: Decode) -> bytes:
    """Decode, draw and encode.

    Args:
        job: what is to be done.
        frames: encoded, one for each place.
        decode: gives the pixels of one; what it raises comes out.

    Raises:
        InvalidParameter, BrokenPalette, BrokenProfile, NotWritable: see `drawing.draw`.
    """
    if job.picture is None:
        return write(placeholder(job.label, job.view.viewport or Viewport(THUMBNAIL, THUMBNAIL)), job.view)
    pixels, photometric = decode(frames[0])
    if len(frames) > 1:
        blank = 255 if pixels.ndim == 3 else 0
        whole = np.full((*job.size, *pixels.shape[2:]), blank, dtype=pixels.dtype)
        _lay(whole, pixels, *job.places[0])
        for frame, place in zip(frames[1:], job.places[1:], strict=True):
            _lay(whole, decode(frame)[0], *place)
        pixels = whole
    return write(draw(pixels, photometric, job.picture, job.view, job.text), job.view)


def _lay(whole: NDArray[Any], tile: NDArray[Any], top: int, left: int) -> None:
    place = whole[top : top + tile.shape[0], left : left + tile.shape[1]]
    place[...] = tile[: place.shape[0], : place.shape[1]]
