"""What a client asks to see: the query parameters of rendered resources and thumbnails (PS3.18 8.3.5)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from services.pixels.rendering.windowing import Function, Window

QUALITY: Final = 90
THUMBNAIL: Final = 128
"""Pixels of the square that a thumbnail fits into when the client says nothing."""

_LONGEST: Final = 8192
_MOST_PIXELS: Final = 2**25
_LONGEST_WARNING: Final = 200
_INTEGER: Final = re.compile(r"[0-9]{1,9}")
_DECIMAL: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_TOKEN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_FUNCTIONS: Final = {
    "linear": Function.LINEAR,
    "linear-exact": Function.LINEAR_EXACT,
    "sigmoid": Function.SIGMOID,
}


class InvalidParameter(ValueError):
    """A parameter has a value that it cannot have; the message names it and does not repeat the value."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the value of {name} is not valid")
        self.name = name


class MediaType(StrEnum):
    """What an image is written as (PS3.18 8.7.4)."""

    JPEG = "image/jpeg"
    PNG = "image/png"
    WEBP = "image/webp"
    GIF = "image/gif"


class Profile(StrEnum):
    """The colour space of the answer and whether its ICC profile is in it (PS3.18 8.3.5.1.5)."""

    NO = "no"
    YES = "yes"
    SRGB = "srgb"
    ADOBE_RGB = "adobergb"
    ROMM_RGB = "rommrgb"


class Annotation(StrEnum):
    """What is written onto the image (PS3.18 8.3.5.1.1)."""

    PATIENT = "patient"
    TECHNIQUE = "technique"


@dataclass(frozen=True, slots=True)
class Viewport:
    """The size to fit into and the region to show (PS3.18 8.3.5.1.3).

    Attributes:
        width: of the client's viewport, in pixels.
        height: likewise.
        left: of the region, in pixels of the image.
        top: likewise.
        across: width of the region, negative to flip it left to right; None up to the right edge.
        down: height of the region, negative to flip it upside down; None up to the bottom edge.
    """

    width: int
    height: int
    left: float = 0
    top: float = 0
    across: float | None = None
    down: float | None = None


@dataclass(frozen=True, slots=True)
class View:
    """How an image is to be shown."""

    media_type: MediaType = MediaType.JPEG
    window: Window | None = None
    viewport: Viewport | None = None
    quality: int = QUALITY
    profile: Profile = Profile.NO
    annotations: tuple[Annotation, ...] = ()

    def written_as(self, media_type: MediaType) -> View:
        """The same in a media type.

        Raises:
            InvalidParameter: an ICC profile is asked for, for which the media type has no place.
        """
        if media_type is MediaType.GIF and self.profile is not Profile.NO:
            raise InvalidParameter("iccprofile")
        return replace(self, media_type=media_type)


def rendered_view(parameters: Iterable[tuple[str, str]]) -> tuple[View, tuple[str, ...]]:
    """Read the parameters of a rendered resource; those of other names are passed over.

    Returns:
        The view, and texts for the Warning header.

    Raises:
        InvalidParameter: a value is not valid, or a parameter is given twice.
    """
    given = _given(parameters, ("window", "viewport", "quality", "iccprofile", "annotation"))
    annotations, warnings = _annotations(given.get("annotation"))
    view = View(
        window=_window(given["window"]) if "window" in given else None,
        viewport=_viewport(given["viewport"], region=True) if "viewport" in given else None,
        quality=_quality(given["quality"]) if "quality" in given else QUALITY,
        profile=_profile(given["iccprofile"]) if "iccprofile" in given else Profile.NO,
        annotations=annotations,
    )
    return view, warnings


def thumbnail_view(parameters: Iterable[tuple[str, str]]) -> View:
    """Read the parameters of a thumbnail: a viewport without a region (PS3.18 8.3.5.2).

    Raises:
        InvalidParameter: the viewport is not valid.
    """
    given = _given(parameters, ("viewport",))
    return View(viewport=_viewport(given["viewport"], region=False) if given else Viewport(THUMBNAIL, THUMBNAIL))


def _given(parameters: Iterable[tuple[str, str]], known: tuple[str, ...]) -> dict[str, str]:
    given: dict[str, str] = {}
    for name, value in parameters:
        if name in known and given.setdefault(name, value) != value:
            raise InvalidParameter(name)
    return given


def _decimal(name: str, text: str) -> float:
    if not _DECIMAL.fullmatch(text) or not math.isfinite(value := float(text)):
        raise InvalidParameter(name)
    return value


def _window(text: str) -> Window:
    parts = text.split(",")
    if len(parts) != 3 or parts[2] not in _FUNCTIONS:
        raise InvalidParameter("window")
    window = Window(_decimal("window", parts[0]), _decimal("window", parts[1]), _FUNCTIONS[parts[2]])
    if not window.valid:
        raise InvalidParameter("window")
    return window


def _viewport(text: str, *, region: bool) -> Viewport:
    sizes, places = text.split(",")[:2], text.split(",")[2:]
    if len(sizes) != 2 or len(places) > 4 or (places and (not region or not places[-1])):
        raise InvalidParameter("viewport")
    width, height = (int(size) if _INTEGER.fullmatch(size) else 0 for size in sizes)
    if not (0 < width <= _LONGEST and 0 < height <= _LONGEST and width * height <= _MOST_PIXELS):
        raise InvalidParameter("viewport")
    left, top, across, down = ([_decimal("viewport", each) if each else None for each in places] + [None] * 4)[:4]
    if across == 0 or down == 0:
        raise InvalidParameter("viewport")
    return Viewport(width, height, abs(left or 0), abs(top or 0), across, down)


def _quality(text: str) -> int:
    if not _INTEGER.fullmatch(text) or not 1 <= int(text) <= 100:
        raise InvalidParameter("quality")
    return int(text)


def _profile(text: str) -> Profile:
    try:
        return Profile(text)
    except ValueError:
        raise InvalidParameter("iccprofile") from None


def _annotations(text: str | None) -> tuple[tuple[Annotation, ...], tuple[str, ...]]:
    if text is None:
        return (), ()
    words = text.split(",")
    if not all(_TOKEN.fullmatch(word) for word in words):
        raise InvalidParameter("annotation")
    passed_over = [word for word in dict.fromkeys(words) if word not in {each.value for each in Annotation}]
    warning = f"The following annotation values are not supported: {','.join(passed_over)[:_LONGEST_WARNING]}"
    return tuple(each for each in Annotation if each.value in words), (warning,) if passed_over else ()
