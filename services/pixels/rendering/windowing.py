"""From stored values to grey levels: modality LUT, VOI LUT, presentation LUT (PS3.3 C.11.1, C.11.2, C.7.6.3.1.2)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, assert_never

import numpy as np
from numpy.typing import NDArray

WHITE: Final = 255.0
Floats = NDArray[np.float64]
Grey = NDArray[np.uint8]


class Function(StrEnum):
    """How a window maps its values (VOI LUT Function, PS3.3 C.11.2.1.3)."""

    LINEAR = "LINEAR"
    LINEAR_EXACT = "LINEAR_EXACT"
    SIGMOID = "SIGMOID"


@dataclass(frozen=True, slots=True)
class Window:
    """Window Center and Width with their function (PS3.3 C.11.2.1.2).

    `LINEAR` needs a width of 1 at least, the others one above 0.
    """

    center: float
    width: float
    function: Function = Function.LINEAR

    @property
    def valid(self) -> bool:
        """The width is one that the function is defined for."""
        return self.width >= 1 if self.function is Function.LINEAR else self.width > 0

    def apply(self, values: Floats) -> Floats:
        """Give the grey level, 0 to 255, of each value."""
        center, width = self.center, self.width
        match self.function:
            case Function.LINEAR:
                if width == 1:
                    return np.where(values <= center - 0.5, 0.0, WHITE)
                return np.clip(((values - (center - 0.5)) / (width - 1) + 0.5) * WHITE, 0, WHITE)
            case Function.LINEAR_EXACT:
                return np.clip(((values - center) / width + 0.5) * WHITE, 0, WHITE)
            case Function.SIGMOID:
                exponents = np.clip(-4 * (values - center) / width, -700, 700)  # beyond, a float ends
                return WHITE / (1 + np.exp(exponents))
            case _:
                assert_never(self.function)


@dataclass(frozen=True, slots=True)
class Rescale:
    """Rescale Slope and Intercept (PS3.3 C.11.1.1.2)."""

    slope: float
    intercept: float

    def apply(self, values: Floats) -> Floats:
        """Give the output of each stored value."""
        return values * self.slope + self.intercept


@dataclass(frozen=True, slots=True)
class Lut:
    """A table of a Modality or VOI LUT Sequence (PS3.3 C.11.1.1, C.11.2.1.1).

    Attributes:
        first: the input value of its first entry; what is below or above takes the first or last entry.
        bits: of an entry.
        entries: little endian words of 16 bits.
    """

    first: int
    bits: int
    entries: bytes

    def apply(self, values: Floats) -> Floats:
        """Give the entry of each value."""
        entries = np.frombuffer(self.entries, "<u2").astype(np.float64)
        at = np.clip(np.rint(values) - self.first, 0, len(entries) - 1).astype(np.intp)
        chosen: Floats = entries[at]
        return chosen

    def within(self, lowest: float, highest: float) -> Floats:
        """Give the entries of all values from the lowest to the highest."""
        last = self.first + len(self.entries) // 2 - 1
        ends = np.clip([lowest, highest], self.first, last)
        return self.apply(np.arange(ends[0], ends[1] + 1, dtype=np.float64))

    def levels(self, values: Floats) -> Floats:
        """Give the entry of each value as a grey level, 0 to 255."""
        return self.apply(values) * (WHITE / ((1 << self.bits) - 1))


@dataclass(frozen=True, slots=True)
class Greyscale:
    """How stored values become grey levels. As a key, it names one table.

    Attributes:
        allocated: Bits Allocated.
        stored: Bits Stored.
        high: High Bit.
        signed: stored values are two's complement.
        modality: what makes of them the values that the VOI is for; None where they are it.
        voi: what makes of these the grey level; None to spread what the frame has.
        inverse: the lowest value is white.
        padding: lowest and highest stored value that is no pixel but padding, painted black (PS3.3 C.7.5.1.1.2).
    """

    allocated: int
    stored: int
    high: int
    signed: bool
    modality: Rescale | Lut | None = None
    voi: Window | Lut | None = None
    inverse: bool = False
    padding: tuple[int, int] | None = None


def grey_levels(pixels: NDArray[Any], how: Greyscale) -> Grey:
    """Give the grey level of each pixel.

    Args:
        pixels: the cells as they lie in Pixel Data, integers of any sign; or floating point values.
        how: the transformations.
    """
    if pixels.dtype.kind == "f":
        return _levels(np.nan_to_num(pixels.astype(np.float64)), how, None)
    if pixels.dtype.itemsize > 2:
        wide = _wide(pixels, how)
        levels = _levels(wide.astype(np.float64), how, None)
        return np.where(_padded(wide, how), np.uint8(0), levels)
    cells = pixels.view(f"u{pixels.dtype.itemsize}")
    extremes = None if how.voi else _extremes(cells, how)
    return np.take(_table(how, pixels.dtype.itemsize, extremes), cells)


def _levels(values: Floats, how: Greyscale, extremes: tuple[float, float] | None) -> Grey:
    """From stored values, all at once."""
    moderated = how.modality.apply(values) if how.modality else values
    match how.voi:
        case Window():
            levels = how.voi.apply(moderated)
        case Lut():
            levels = how.voi.levels(moderated)
        case None:
            levels = _spread(moderated, *_moderated(extremes or _ends(values, how), how))
        case _:
            assert_never(how.voi)
    if how.inverse:
        levels = WHITE - levels
    return (levels + 0.5).astype(np.uint8)


def _spread(values: Floats, lowest: float, highest: float) -> Floats:
    if highest <= lowest:
        return np.zeros_like(values)
    return np.clip((values - lowest) * WHITE / (highest - lowest), 0, WHITE)


def _moderated(extremes: tuple[float, float], how: Greyscale) -> tuple[float, float]:
    ends = np.array(extremes, dtype=np.float64)
    match how.modality:
        case Lut():
            ends = how.modality.within(*extremes)
        case Rescale():
            ends = how.modality.apply(ends)
    return float(ends.min()), float(ends.max())


def _padded(values: NDArray[Any], how: Greyscale) -> NDArray[np.bool_]:
    if how.padding is None:
        return np.zeros(values.shape, dtype=np.bool_)
    return (values >= how.padding[0]) & (values <= how.padding[1])


@lru_cache(maxsize=128)
def _table(how: Greyscale, cell_bytes: int, extremes: tuple[float, float] | None) -> Grey:
    """The grey level of every possible cell: one look-up a pixel instead of arithmetic."""
    values = _stored_values(how.stored, how.high, how.signed, cell_bytes)
    levels = _levels(values.astype(np.float64), how, extremes)
    levels[_padded(values, how)] = 0
    return levels


@lru_cache(maxsize=16)
def _stored_values(stored: int, high: int, signed: bool, cell_bytes: int) -> NDArray[np.int32]:
    """The stored value of every possible cell: bits that are not the pixel's are left out (PS3.5 8.1.1)."""
    cells = np.arange(1 << 8 * cell_bytes, dtype=np.int32) >> max(high + 1 - stored, 0)
    values = cells & (1 << stored) - 1
    if signed:
        values[values >= 1 << stored - 1] -= 1 << stored
    return values


def _extremes(cells: NDArray[Any], how: Greyscale) -> tuple[float, float]:
    """Lowest and highest stored value of a frame."""
    size = cells.dtype.itemsize
    if how.stored == 8 * size:
        return _ends(cells.view(f"i{size}") if how.signed else cells, how)
    values = np.take(_stored_values(how.stored, how.high, how.signed, size), cells)
    return _ends(values, how)


def _ends(values: NDArray[Any], how: Greyscale) -> tuple[float, float]:
    """Lowest and highest value; those of padding count only where there is nothing else to tell apart."""
    shown = values[~_padded(values, how)] if how.padding else values
    if how.padding and (not shown.size or shown.min() == shown.max()):
        shown = values
    return (float(shown.min()), float(shown.max())) if shown.size else (0.0, 0.0)


def _wide(pixels: NDArray[Any], how: Greyscale) -> NDArray[np.int64]:
    """Stored values of cells of 32 bits and more, for which no table is worth its memory."""
    cells = pixels.astype(np.int64) >> max(how.high + 1 - how.stored, 0)
    values = cells & (1 << how.stored) - 1
    return np.where(values >= 1 << how.stored - 1, values - (1 << how.stored), values) if how.signed else values
