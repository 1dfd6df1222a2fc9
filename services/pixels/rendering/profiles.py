"""ICC profiles (ISO 15076-1) of the colour spaces that a client may ask for, made here, and the way between them."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from services.pixels.rendering.view import Profile

Rgb = NDArray[np.uint8]
_D50: Final = (0.9642, 1.0, 0.8249)
_FROM_D65: Final = (1.04788, 0.02292, -0.0502, 0.02959, 0.99048, -0.01706, -0.00923, 0.01508, 0.75168)
_FROM_D50: Final = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


class BrokenProfile(ValueError):
    """The ICC profile of the image is none, or not of RGB."""

    def __init__(self) -> None:
        super().__init__("the ICC profile of the image cannot be used")


@dataclass(frozen=True, slots=True)
class _Space:
    """An RGB space by its primaries, adapted to D50, and its curve."""

    name: str
    red: tuple[float, float, float]
    green: tuple[float, float, float]
    blue: tuple[float, float, float]
    curve: tuple[float, ...]
    """Parameters g, a, b, c, d of the parametric curve of type 3, or g alone (ISO 15076-1 10.18)."""
    adaptation: tuple[float, ...]


_SPACES: Final = {
    Profile.SRGB: _Space(
        "sRGB", (0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410),
        (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045), _FROM_D65,
    ),
    Profile.ADOBE_RGB: _Space(
        "Adobe RGB (1998)", (0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457),
        (563 / 256,), _FROM_D65,
    ),
    Profile.ROMM_RGB: _Space(
        "ROMM RGB", (0.79767, 0.28804, 0.0), (0.13519, 0.71187, 0.0), (0.03134, 0.00009, 0.82491),
        (1.8, 1.0, 0.0, 1 / 16, 0.03125), _FROM_D50,
    ),
}  # fmt: skip


def converted(pixels: Rgb, source: bytes, wanted: Profile) -> tuple[Rgb, bytes]:
    """Bring pixels into the space that is asked for, and give the profile that describes them then.

    Args:
        pixels: red, green and blue.
        source: the profile of the image; empty where it has none, which counts as sRGB.
        wanted: what the client asks for; `NO` changes nothing and gives no profile.

    Raises:
        BrokenProfile: the profile of the image cannot be used.
    """
    if wanted is Profile.NO:
        return pixels, b""
    if wanted is Profile.YES:
        return pixels, source or profile(Profile.SRGB)
    if not source and wanted is Profile.SRGB:
        return pixels, profile(wanted)
    transform = _transform(source or profile(Profile.SRGB), wanted)
    try:
        image = ImageCms.applyTransform(Image.fromarray(pixels, "RGB"), transform)
    except ImageCms.PyCMSError:
        raise BrokenProfile from None
    if image is None:
        raise BrokenProfile
    return np.asarray(image), profile(wanted)


@lru_cache(maxsize=8)
def _transform(source: bytes, wanted: Profile) -> ImageCms.ImageCmsTransform:
    try:
        return ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(source)),
            ImageCms.ImageCmsProfile(io.BytesIO(profile(wanted))),
            "RGB",
            "RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        )
    except (ImageCms.PyCMSError, OSError):
        raise BrokenProfile from None


@cache
def profile(wanted: Profile) -> bytes:
    """Make the profile of a colour space: a display profile of version 4 with matrix and curve."""
    space = _SPACES[wanted]
    curve = b"para" + struct.pack(">IHH", 0, 3 if len(space.curve) > 1 else 0, 0) + _fixed(*space.curve)
    tags = {
        b"desc": _text(space.name),
        b"cprt": _text("No copyright"),
        b"wtpt": _xyz(_D50),
        b"chad": b"sf32" + bytes(4) + _fixed(*space.adaptation),
        b"rXYZ": _xyz(space.red),
        b"gXYZ": _xyz(space.green),
        b"bXYZ": _xyz(space.blue),
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve),
    }
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = struct.pack(
        ">I4sI4s4s4s6H4s4sI4s4sQI12s4s",
        start + len(body), bytes(4), 0x04300000, b"mntr", b"RGB ", b"XYZ ", 2020, 1, 1, 0, 0, 0, b"acsp",
        bytes(4), 0, bytes(4), bytes(4), 0, 1, _fixed(*_D50), bytes(4),
    )  # fmt: skip
    return head.ljust(128, b"\0") + table + body


def _fixed(*numbers: float) -> bytes:
    return struct.pack(f">{len(numbers)}i", *(round(number * 65536) for number in numbers))


def _xyz(values: tuple[float, float, float]) -> bytes:
    return b"XYZ " + bytes(4) + _fixed(*values)


def _text(text: str) -> bytes:
    content = text.encode("utf-16-be")
    return b"mluc" + struct.pack(">IIIHHII", 0, 1, 12, 0x656E, 0x5553, len(content), 28) + content
