"""Palette colour (PS3.3 C.7.6.3.1.5, C.7.6.3.1.6, C.7.9.2): from entries to red, green and blue of every index."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_DISCRETE, _LINEAR, _INDIRECT = 0, 1, 2
_MAX_DEPTH: Final = 8


class BrokenPalette(ValueError):
    """The palette's data is not what its descriptor says, or its segments lead nowhere."""

    def __init__(self) -> None:
        super().__init__("the palette cannot be read")


@dataclass(frozen=True, slots=True)
class Channel:
    """One of the three tables.

    Attributes:
        entries: how many.
        first: the stored value of the first entry; lower ones take it too, higher ones the last.
        bits: of an entry, 8 or 16.
        data: as in the data set.
        segmented: the data is in segments.
    """

    entries: int
    first: int
    bits: int
    data: bytes
    segmented: bool = False


@dataclass(frozen=True, slots=True)
class Palette:
    """The three tables; `supplemental` where indices below `first` are grey levels (PS3.3 C.7.6.19)."""

    red: Channel
    green: Channel
    blue: Channel
    supplemental: bool = False

    @property
    def first(self) -> int:
        """The lowest stored value that has a colour."""
        return self.red.first


def colours(values: NDArray[Any], palette: Palette) -> NDArray[np.uint8]:
    """Give red, green and blue of each stored value.

    Raises:
        BrokenPalette: the tables cannot be read.
    """
    table = _table(palette)
    at = np.clip(values.astype(np.int64) - palette.first, 0, len(table) - 1)
    return np.take(table, at, axis=0)


@lru_cache(maxsize=64)
def _table(palette: Palette) -> NDArray[np.uint8]:
    channels = [_eight_bits(each) for each in (palette.red, palette.green, palette.blue)]
    longest = max(map(len, channels))
    return np.stack([np.pad(each, (0, longest - len(each)), mode="edge") for each in channels], axis=-1)


def _eight_bits(channel: Channel) -> NDArray[np.uint8]:
    if channel.segmented:
        entries = np.array(_expanded(channel), dtype=np.int64)
        wide = channel.bits > 8
    else:
        # Entries of 8 bits lie in bytes, or, as some write them, each in a word of its own.
        wide = len(channel.data) >= 2 * channel.entries
        cells = channel.data[: (2 if wide else 1) * channel.entries]
        entries = np.frombuffer(cells, "<u2" if wide else "u1").astype(np.int64)
    if not entries.size:
        raise BrokenPalette
    # Entries that say to have 16 bits and never use the upper 8 are of 8 bits.
    shift = 8 if wide and channel.bits > 8 and int(entries.max()) > 255 else 0
    return (entries >> shift).clip(0, 255).astype(np.uint8)


def _expanded(channel: Channel) -> list[int]:
    word = 2 if channel.bits > 8 else 1
    data = np.frombuffer(channel.data[: len(channel.data) // word * word], f"<u{word}").tolist()
    return _Segments(data, word, channel.entries).expanded()


class _Segments:
    """Expands segments (PS3.3 C.7.9.2): entries as they are, straight lines, and segments to be read again."""

    def __init__(self, data: list[int], word: int, wanted: int) -> None:
        self._data = data
        self._word = word
        self._wanted = wanted
        self._entries: list[int] = []

    def expanded(self) -> list[int]:
        self._read(0, None, 0)
        return self._entries[: self._wanted]

    def _read(self, at: int, segments: int | None, depth: int) -> None:
        """Read so many segments from `at`, or all that there are."""
        data, entries = self._data, self._entries
        if depth > _MAX_DEPTH:
            raise BrokenPalette
        while at + 1 < len(data) and len(entries) < self._wanted and segments != 0:
            kind, length = data[at], data[at + 1]
            at += 2
            if kind == _DISCRETE:
                entries += data[at : at + length]
                at += length
            elif kind == _LINEAR and entries and length and at < len(data):
                start, end = entries[-1], data[at]
                entries += [round(start + (end - start) * step / length) for step in range(1, length + 1)]
                at += 1
            elif kind == _INDIRECT and entries:
                # A byte offset of 32 bits: two words, or four bytes where entries are bytes.
                cells = 4 // self._word
                place = sum(value << 8 * self._word * number for number, value in enumerate(data[at : at + cells]))
                at += cells
                self._read(place // self._word, length, depth + 1)
            else:
                raise BrokenPalette
            if segments is not None:
                segments -= 1
