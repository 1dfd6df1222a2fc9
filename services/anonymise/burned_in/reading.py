"""Printed text in a picture: where it is, never what it says.

The reader is RapidOCR with the models that its wheel carries: it asks no network. This runs in a worker process; what
was read is judged here and forgotten here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from services.anonymise.burned_in.model import Box

_SIDE: Final = 640
"""The detector sees small letters on a picture of that size; a larger one is read whole, made small, and in tiles."""
_OVERLAP: Final = 128
"""Text across the edge of a tile is whole in the next one, if it is lower or narrower than this."""
_SURE: Final = 0.6
_POSSIBLE: Final = 0.3
_LONE_SURE: Final = 0.9
_LARGEST_LONE: Final = 0.1
"""A lone character has a side of at most this part of the picture: rings and crosses of anatomy are read as O and X."""
_LARGEST_WORD: Final = 0.5
"""So has a word of two or three."""
_WIDER: Final = 0.35
"""A box is made wider by this part of its height: the detector's boxes are tight."""

Picture = NDArray[np.uint8]
"""Rows × columns × 3."""


class NoReaderError(Exception):
    """The text reader is not installed."""

    def __init__(self) -> None:
        super().__init__("the text reader is not installed")
        self.code = "no-reader"


@dataclass(frozen=True, slots=True)
class Text:
    """Where text is, or may be."""

    box: Box
    sure: bool


class Reader:
    """Finds text."""

    def __init__(self) -> None:
        """Load the models.

        Raises:
            NoReaderError: they are not there.
        """
        try:
            cv2, rapidocr = import_module("cv2"), import_module("rapidocr")
        except ImportError:
            raise NoReaderError from None
        cv2.setNumThreads(1)
        logging.getLogger("RapidOCR").disabled = True
        self._engine = rapidocr.RapidOCR(
            params={
                "Global.log_level": "critical",
                "Global.text_score": 0.0,
                "Det.thresh": 0.2,  # rather too much than too little: what is no text is judged below
                "Det.box_thresh": 0.3,
                "Global.max_side_len": 4 * _SIDE,
                "EngineConfig.onnxruntime.intra_op_num_threads": 1,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            }
        )

    def read(self, picture: Picture) -> list[Text]:
        """Text in a picture, from top to bottom; some of it more than once."""
        rows, columns = picture.shape[:2]
        found = [text for tile in _tiles(picture) for text in self._read(tile, rows, columns)]
        return sorted(set(found), key=lambda text: (text.box.y, text.box.x))

    def _read(self, tile: _Tile, rows: int, columns: int) -> Iterator[Text]:
        answer: Any = self._engine(tile.pixels)
        if answer.boxes is None:
            return
        for corners, letters, score in zip(answer.boxes, answer.txts, answer.scores, strict=True):
            low = np.floor(np.min(corners, axis=0) * tile.scale)
            high = np.ceil(np.max(corners, axis=0) * tile.scale)
            width, height = (int(size) for size in high - low)
            count = sum(letter.isalnum() for letter in letters)
            sure = _judged(count, float(score), max(width, height) / max(min(rows, columns), 1))
            if sure is not None:
                wider = max(2, round(_WIDER * min(width, height)))
                box = Box(
                    tile.x + int(low[0]) - wider, tile.y + int(low[1]) - wider, width + 2 * wider, height + 2 * wider
                )
                yield Text(_within(box, rows, columns), sure)


def _judged(count: int, score: float, part: float) -> bool | None:
    """Whether it is text for sure, may be text, or (None) is none."""
    match count:
        case 0:
            return None
        case 1:
            return True if score >= _LONE_SURE and part <= _LARGEST_LONE else None
        case 2 | 3 if part > _LARGEST_WORD and score < _LONE_SURE:
            return None
        case _ if score >= _SURE:
            return True
        case _:
            return False if score >= _POSSIBLE else None


class _Tile(NamedTuple):
    """A part of a picture: where it begins, and how many of its pixels one here stands for."""

    x: int
    y: int
    scale: int
    pixels: Picture


def _tiles(picture: Picture) -> Iterator[_Tile]:
    """What is read: the whole, and where that is large, parts of it as they are."""
    rows, columns = picture.shape[:2]
    largest = max(rows, columns)
    if largest <= _SIDE:
        yield _Tile(0, 0, 1, picture)
        return
    step = -(-largest // _SIDE)
    yield _Tile(0, 0, step, np.asarray(Image.fromarray(picture).reduce(step)))
    for y in _starts(rows):
        for x in _starts(columns):
            tile = picture[y : y + _SIDE, x : x + _SIDE]
            if tile.min() != tile.max():
                yield _Tile(x, y, 1, np.ascontiguousarray(tile))


def _starts(length: int) -> range:
    return range(0, max(length - _OVERLAP, 1), _SIDE - _OVERLAP)


def _within(box: Box, rows: int, columns: int) -> Box:
    left, top = max(box.x, 0), max(box.y, 0)
    right, bottom = min(box.x + box.width, columns), min(box.y + box.height, rows)
    return Box(left, top, right - left, bottom - top)
