"""Pictures with text on them, and where it is: what a reader has to find."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Array = NDArray[Any]

NAMES = ("KAUFMAN^SCOTT", "Doe, Jane 1967-03-02", "ID 4711-0815", "St. Mary's Hospital", "DOB:07.22.1943 F")


@dataclass(frozen=True)
class Case:
    """A picture.

    Attributes:
        array: rows × columns, or × 3; 8 bit.
        letters: where a letter has changed a pixel.
        what: words for a test's name.
    """

    what: str
    array: Array = field(repr=False)
    letters: NDArray[np.bool_] = field(repr=False)


def background(kind: str, rows: int, columns: int, seed: int = 1) -> Array:
    """Black, white, noise, or something like a body: an ellipse of soft noise."""
    random = np.random.default_rng(seed)
    if kind in ("black", "white"):
        return np.full((rows, columns), 0 if kind == "black" else 255, np.uint8)
    if kind == "noise":
        return np.clip(random.normal(90, 30, (rows, columns)), 0, 255).astype(np.uint8)
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    inside = x**2 / 0.7 + y**2 / 0.5 < 1
    soft = np.kron(random.normal(0, 25, (rows // 8 + 1, columns // 8 + 1)), np.ones((8, 8)))[:rows, :columns]
    return np.clip(np.where(inside, 110 + soft, 8) + random.normal(0, 5, (rows, columns)), 0, 255).astype(np.uint8)


def lettered(
    array: Array, text: str, size: int, at: tuple[int, int], ink: Any = 255, turned: int = 0, upright: bool = False
) -> tuple[Array, NDArray[np.bool_]]:
    """Text drawn on a picture: turned by so many degrees, or letter under letter."""
    font = ImageFont.load_default(size)
    drawn = "\n".join(text) if upright else text
    _, _, right, bottom = ImageDraw.Draw(Image.new("L", (1, 1))).multiline_textbbox((0, 0), drawn, font)
    stamp = Image.new("L", (int(right) + 2, int(bottom) + 2))
    ImageDraw.Draw(stamp).multiline_text((0, 0), drawn, 255, font, align="center")
    stamp = stamp.rotate(turned, expand=True)
    alpha = np.zeros(array.shape[:2])
    x, y = at
    part = np.asarray(stamp, float)[: array.shape[0] - y, : array.shape[1] - x] / 255
    alpha[y : y + part.shape[0], x : x + part.shape[1]] = part
    cover = alpha if array.ndim == 2 else alpha[..., None]
    made = np.round(array * (1 - cover) + np.asarray(ink) * cover).astype(array.dtype)
    return made, alpha > 0.25


def cases() -> Iterator[Case]:
    """Small and large, on black, white, noise and a body, turned, upright, in colour."""
    number = 0
    for rows, columns in ((256, 256), (512, 512), (1200, 1600)):
        for ground, ink in (("black", 255), ("white", 0), ("noise", 255), ("body", 255), ("body", 190)):
            for size in (10, 14, 24, 60):
                if size == 10 and rows > 1000 and ground == "noise":
                    continue
                name = NAMES[number % len(NAMES)]
                number += 1
                at = (columns // 20, rows // 12 + (number * 37) % (rows // 2))
                array, letters = lettered(background(ground, rows, columns, number), name, size, at, ink)
                yield Case(f"{ground}-{ink}-{rows}-size{size}", array, letters)
    for ground in ("black", "body"):
        for turned in (90, 270):
            array, letters = lettered(background(ground, 512, 512), "KAUFMAN^SCOTT 1943", 18, (20, 100), 255, turned)
            yield Case(f"{ground}-turned{turned}", array, letters)
        array, letters = lettered(background(ground, 512, 512), "KAUFMAN", 18, (20, 60), 255, upright=True)
        yield Case(f"{ground}-upright", array, letters)
    for paint in ((255, 255, 0), (0, 255, 0), (255, 60, 60), (90, 140, 255)):
        colour = np.repeat(background("body", 480, 640)[..., None], 3, 2)
        array, letters = lettered(colour, "Doe, Jane 1967-03-02", 16, (30, 40), paint)
        yield Case(f"colour-{paint[0]}-{paint[1]}-{paint[2]}", array, letters)


def hard_cases() -> Iterator[Case]:
    """Where the reader comes to its limits: tiny, faint, blurred, squeezed by JPEG, cut off, slanting, far apart."""
    for number, ground in enumerate(("black", "body", "noise")):
        plain = background(ground, 512, 512, number)
        for size in (6, 7, 8):
            array, letters = lettered(plain, NAMES[size % 5], size, (60, 200))
            yield Case(f"tiny {size}-{ground}", array, letters)
        for contrast in (20, 40, 60):
            ink = min(int(plain[200:230, 60:300].mean()) + contrast, 255)
            array, letters = lettered(plain, NAMES[contrast % 5], 16, (60, 200), ink)
            yield Case(f"faint {contrast}-{ground}", array, letters)
        array, letters = lettered(plain, NAMES[0], 16, (60, 200))
        blurred = np.asarray(Image.fromarray(array).filter(ImageFilter.GaussianBlur(1.5)))
        yield Case(f"blurred-{ground}", blurred, letters)
        squeezed = io.BytesIO()
        Image.fromarray(array).save(squeezed, "JPEG", quality=15)
        yield Case(f"jpeg of quality 15-{ground}", np.asarray(Image.open(squeezed)), letters)
        array, letters = lettered(plain, NAMES[1], 18, (60, 504))
        yield Case(f"cut off below-{ground}", array, letters)
        for turned in (15, 45):
            array, letters = lettered(plain, NAMES[0], 18, (120, 120), 255, turned)
            yield Case(f"slanting {turned}-{ground}", array, letters)
        array, letters = lettered(plain, "K A U F M A N", 18, (60, 200))
        yield Case(f"letters apart-{ground}", array, letters)
        array, letters = lettered(plain, "K\n\nA\n\nU\n\nF\n\nM", 18, (60, 60))
        yield Case(f"letters apart, upright-{ground}", array, letters)
