"""How boxes come out of a network without code: the card's block `processing.boxes`, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from typing import Any


class BoxSource(StrEnum):
    """What the network answers."""

    MAP = "map"
    """How likely each voxel is part of something: a box is drawn around each piece above the threshold."""
    ROWS = "rows"
    """A table with a row for each box."""


class BoxOrigin(StrEnum):
    """Where the coordinates of rows begin."""

    CORNER = "corner"
    """At the outer edge of the first voxel: a box around all of 10 voxels is from 0 to 10."""
    CENTRE = "centre"
    """In the middle of the first voxel: it is from -0.5 to 9.5."""


_KEYS = {"from", "columns", "origin", "relative", "overlap", "most"}
_SCORE, _CLASS = "score", "class"
_MOST = 10_000


@dataclass(frozen=True, slots=True)
class Boxes:
    """The block `boxes`.

    Attributes:
        source: `from` in the card.
        columns: of rows: `z0` is the first border along the first axis of the network's volume, `y` is of its second
            and `x` of its third; `z1` the last border; or `zc` the middle and `zs` the size; `score`, `class`.
        origin: of the coordinates of rows.
        relative: whether these are parts, 0 to 1, of the network's input.
        overlap: intersection over union from which on the less certain of two boxes of a label is dropped.
        most: so many boxes at most, the most certain.
    """

    source: BoxSource
    columns: tuple[str, ...]
    origin: BoxOrigin
    relative: bool
    overlap: float
    most: int


def boxes_of(item: Mapping[str, Any], dimensions: int) -> Boxes:
    """The block.

    Raises:
        ValueError: it says something that cannot be.
    """
    strange = sorted(set(map(str, item)) - _KEYS)
    if strange:
        raise ValueError(f"keys that are not known: {', '.join(strange)}")
    source = BoxSource(item.get("from", BoxSource.MAP))
    columns = tuple(map(str, item.get("columns", ())))
    if source is BoxSource.ROWS:
        _check(columns, "zyx"[3 - dimensions :])
    elif {"columns", "origin", "relative"} & set(item):
        raise ValueError("'columns', 'origin' and 'relative' are for boxes from rows")
    overlap, most, relative = float(item.get("overlap", 0.3)), int(item.get("most", 100)), item.get("relative", False)
    if not 0 <= overlap <= 1 or not 1 <= most <= _MOST or not isinstance(relative, bool):
        raise ValueError(f"an overlap from 0 to 1, a number 'most' from 1 to {_MOST}, and a truth value are expected")
    return Boxes(source, columns, BoxOrigin(item.get("origin", BoxOrigin.CORNER)), relative, overlap, most)


def _check(columns: tuple[str, ...], axes: str) -> None:
    given = set(columns)
    if len(given) != len(columns) or given - {_SCORE, _CLASS} - {a + b for a, b in product(axes, "01cs")}:
        raise ValueError(f"columns are {axes[-1]}0, {axes[-1]}1 and so on for {', '.join(axes)}; score; class")
    for axis in axes:
        if {name for name in given if name[0] == axis and name not in (_SCORE, _CLASS)} not in (
            {axis + "0", axis + "1"},
            {axis + "c", axis + "s"},
        ):
            raise ValueError(f"columns need {axis}0 and {axis}1, or {axis}c and {axis}s")
    if _SCORE not in given:
        raise ValueError("columns need a score")
