"""Writing on images so that nobody's name is spelled wrong: with a font that has every letter, or not at all."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, features

from services.pixels.rendering.captions import Captions

_SMALLEST, _LARGEST = 11, 32
_LINES_A_SIDE: Final = 36
"""Text is as high as the image divided by this, within the sizes above."""
_RIGHT_TO_LEFT: Final = ("R", "AL", "AN")
_COMPLEX: Final = frozenset(("Mn", "Mc", "Me"))


class NotWritable(ValueError):
    """No font here has all the characters of the text. The message does not say which."""

    def __init__(self) -> None:
        super().__init__("the text to be written has characters that no font here has")


def write(pixels: NDArray[np.uint8], text: Captions) -> NDArray[np.uint8]:
    """Burn the lines into a grey or colour image.

    Raises:
        NotWritable: a line has characters that no font here has.
    """
    image = Image.fromarray(pixels)
    size = min(max(image.height // _LINES_A_SIDE, _SMALLEST), _LARGEST)
    pen = ImageDraw.Draw(image)
    step = size * 5 // 4
    for number, line in enumerate(text.patient):
        _line(pen, (size // 3, size // 3 + number * step), line, size, text.fonts)
    for number, line in enumerate(reversed(text.technique)):
        _line(pen, (size // 3, image.height - size // 3 - (number + 1) * step), line, size, text.fonts)
    return np.asarray(image)


def _line(pen: ImageDraw.ImageDraw, at: tuple[int, int], line: str, size: int, fonts: tuple[str, ...]) -> None:
    text = unicodedata.normalize("NFC", line)
    bright, dark = (255, 0) if pen.mode == "L" else ((255, 255, 255), (0, 0, 0))
    for path in (*fonts, ""):
        font = _font(path, size)
        if font is not None and _spells(font, path, size, text):
            pen.text(at, text, fill=bright, font=font, stroke_width=1, stroke_fill=dark)
            return
    raise NotWritable


def centred(image: Image.Image, word: str) -> None:
    """Write a short word in the middle of a grey image, as large as fits."""
    font = _font("", max(min(image.height // 3, image.width // max(len(word), 2)), 6))
    ImageDraw.Draw(image).text((image.width / 2, image.height / 2), word, fill=208, font=font, anchor="mm")


@lru_cache(maxsize=32)
def _font(path: str, size: int) -> ImageFont.FreeTypeFont | None:
    if not path:
        built_in = ImageFont.load_default(size)
        return built_in if isinstance(built_in, ImageFont.FreeTypeFont) else None
    try:
        return ImageFont.truetype(path, size)
    except OSError:
        return None


def _spells(font: ImageFont.FreeTypeFont, path: str, size: int, text: str) -> bool:
    if not _shaping() and any(_needs_shaping(each) for each in text):
        return False
    return all(_has(path, size, each) for each in frozenset(text) if not each.isspace())


def _needs_shaping(character: str) -> bool:
    return unicodedata.bidirectional(character) in _RIGHT_TO_LEFT or unicodedata.category(character) in _COMPLEX


@lru_cache(maxsize=1)
def _shaping() -> bool:
    """Text that runs from right to left or joins its letters can be set."""
    return bool(features.check("raqm") and features.check("fribidi"))


@lru_cache(maxsize=4096)
def _has(path: str, size: int, character: str) -> bool:
    """The font has a glyph of its own for the character: another one than for what is no character."""
    font = _font(path, size)
    return font is not None and _glyph(font, character) != _glyph(font, "\uffff")


def _glyph(font: ImageFont.FreeTypeFont, character: str) -> tuple[object, bytes]:
    mask = font.getmask(character)
    return mask.size, bytes(mask)
