"""The whole way of a frame: from its pixels to an image of 8 bits, in the order of PS3.4 N.2 and PS3.18 8.3.5."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from services.pixels.rendering import colour, lettering, palettes, profiles
from services.pixels.rendering.captions import Captions
from services.pixels.rendering.colour import Rgb
from services.pixels.rendering.picture import Picture, with_window
from services.pixels.rendering.view import InvalidParameter, Profile, View, Viewport
from services.pixels.rendering.windowing import Grey, grey_levels

_WHITE: Final = np.uint8(255)


@dataclass(frozen=True, slots=True)
class Drawn:
    """An image to be written.

    Attributes:
        pixels: rows × columns of grey, or × 3 of red, green and blue.
        icc: the ICC profile of its colours, to be embedded; may be empty.
    """

    pixels: NDArray[np.uint8]
    icc: bytes = b""


def draw(pixels: NDArray[Any], photometric: str, picture: Picture, view: View, text: Captions | None = None) -> Drawn:
    """Draw a frame.

    Args:
        pixels: rows × columns, or × 3 in colour by pixel: the cells as they lie in native Pixel Data.
        photometric: what they are after decoding, which may be another colour space than before.
        picture: how they are to be shown by the data set.
        view: how the client wants to see them.
        text: to be burned in.

    Raises:
        InvalidParameter: the region of the viewport has nothing of the image.
        BrokenPalette: the palette cannot be read.
        BrokenProfile: the ICC profile cannot be used.
        NotWritable: the text cannot be written.
    """
    shown = _shown(pixels, photometric, with_window(picture, view.window))
    for overlay in picture.overlays:
        mask = overlay.mask(pixels if pixels.ndim == 2 else pixels[..., 0], shown.shape[:2])
        shown = np.where(mask if shown.ndim == 2 else mask[..., None], _WHITE, shown)
    icc = b""
    if view.profile is not Profile.NO:
        colours = shown if shown.ndim == 3 else np.repeat(shown[..., None], 3, axis=-1)
        shown, icc = profiles.converted(np.ascontiguousarray(colours), picture.icc, view.profile)
    if view.viewport is not None:
        shown = fitted(shown, view.viewport, picture.aspect)
    if text is not None:
        shown = lettering.write(np.ascontiguousarray(shown), text)
    return Drawn(shown, icc)


def _shown(pixels: NDArray[Any], photometric: str, picture: Picture) -> Grey | Rgb:
    if pixels.ndim == 3:
        return colour.rgb(pixels, photometric, picture.grey.stored)
    if picture.palette is None:
        return grey_levels(pixels, picture.grey)
    values = _values(pixels, picture)
    made = palettes.colours(values, picture.palette)
    if not picture.palette.supplemental:
        return made
    grey = grey_levels(pixels, picture.grey)
    return np.where((values >= picture.palette.first)[..., None], made, grey[..., None])


def _values(pixels: NDArray[Any], picture: Picture) -> NDArray[Any]:
    """Stored values, for a palette: without the bits that are not theirs."""
    grey = picture.grey
    cells = pixels.view(f"u{pixels.dtype.itemsize}") >> max(grey.high + 1 - grey.stored, 0)
    values = (cells & (1 << grey.stored) - 1).astype(np.int64)
    return np.where(values >= 1 << grey.stored - 1, values - (1 << grey.stored), values) if grey.signed else values


def fitted(pixels: NDArray[np.uint8], port: Viewport, aspect: float) -> NDArray[np.uint8]:
    """Cut the region out, turn it over where its size is negative, and scale it to fit (PS3.18 8.3.5.1.3).

    Args:
        pixels: grey or colour.
        port: what is asked for.
        aspect: height of a pixel by its width: what is shown has square ones.

    Raises:
        InvalidParameter: the region has nothing of the image.
    """
    rows, columns = pixels.shape[:2]
    right = columns if port.across is None else min(port.left + abs(port.across), columns)
    bottom = rows if port.down is None else min(port.top + abs(port.down), rows)
    if right <= port.left or bottom <= port.top:
        raise InvalidParameter("viewport")
    wide, high = right - port.left, (bottom - port.top) * aspect
    scale = min(port.width / wide, port.height / high)
    size = (min(max(round(wide * scale), 1), port.width), min(max(round(high * scale), 1), port.height))
    box = (port.left, port.top, right, bottom)
    image: Image.Image = Image.fromarray(np.ascontiguousarray(pixels))
    if size != (wide, bottom - port.top) or box != (0, 0, columns, rows):
        image = image.resize(size, Image.Resampling.BILINEAR, box=box, reducing_gap=3.0)
    if port.across is not None and port.across < 0:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if port.down is not None and port.down < 0:
        image = image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    return np.asarray(image)


def placeholder(label: str, port: Viewport) -> Drawn:
    """Draw what stands for an object that is no image: its modality, on dark grey."""
    width, height = port.width, port.height
    image = Image.new("L", (width, height), 48)
    words = label[:8] or "?"
    lettering.centred(image, words)
    return Drawn(np.asarray(image))
