"""Where the frames of an instance lie, and what their values mean (PS3.3 C.7.6.2, C.7.6.16.2, C.11.1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from services.anonymise.burned_in.evidence import text_of
from services.anonymise.engine.elements import Element, File, items_of
from services.pixels.faces import Plane

_POSITION, _ORIENTATION, _SPACING, _SLOPE, _INTERCEPT = 0x00200032, 0x00200037, 0x00280030, 0x00281053, 0x00281052
_SHARED, _BY_FRAME = 0x52009229, 0x52009230
_MACROS = {_POSITION: 0x00209113, _ORIENTATION: 0x00209116, _SPACING: 0x00289110, _SLOPE: 0x00289145}
"""Where an enhanced image keeps them; the intercept lies beside the slope."""
_NEARLY = 1e-3

Elements = dict[int, Element]


class NotPlaced(Exception):
    """It does not say where its frames lie."""


class Frame(NamedTuple):
    """Where a frame lies, and how its stored values become those of its series."""

    plane: Plane
    slope: float
    intercept: float


def frames_of(file: File, count: int) -> tuple[Frame, ...]:
    """The frames of an instance.

    Raises:
        NotPlaced: it does not say where they are.
    """
    root = {element.tag: element for element in file.elements}
    by_frame = _items(root.get(_BY_FRAME))
    if _SHARED not in root and not by_frame:
        if count != 1:
            raise NotPlaced
        return (_frame([root]),)
    shared = _items(root.get(_SHARED))
    if len(by_frame) != count or len(shared) > 1:
        raise NotPlaced
    return tuple(_frame([_flat(one), *map(_flat, shared), root]) for one in by_frame)


def _frame(levels: Sequence[Elements]) -> Frame:
    x, y, z = _numbers(levels, _POSITION, 3)
    orientation = _numbers(levels, _ORIENTATION, 6)
    down, across = _numbers(levels, _SPACING, 2)
    row, column = orientation[:3], orientation[3:]
    lengths = math.hypot(*row), math.hypot(*column)
    inner = sum(one * other for one, other in zip(row, column, strict=True))
    if abs(inner) > _NEARLY or any(abs(length - 1) > _NEARLY for length in lengths) or down <= 0 or across <= 0:
        raise NotPlaced
    plane = Plane(
        (x, y, z),
        (row[0] * across, row[1] * across, row[2] * across),
        (column[0] * down, column[1] * down, column[2] * down),
    )
    slope = _numbers(levels, _SLOPE, 1, default=1.0)[0]
    return Frame(plane, slope or 1.0, _numbers(levels, _INTERCEPT, 1, default=0.0)[0])


def _numbers(levels: Sequence[Elements], tag: int, count: int, *, default: float | None = None) -> list[float]:
    """The values of an attribute, at the innermost level that has it."""
    found = next((text for level in levels if (text := text_of(level.get(tag)))), "")
    if not found and default is not None:
        return [default]
    try:
        numbers = [float(part) for part in found.split("\\")]
    except ValueError:
        raise NotPlaced from None
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise NotPlaced
    return numbers


def _flat(group: list[Element]) -> Elements:
    """What a functional group says of these."""
    macros = [_items(element) for element in group if element.tag in _MACROS.values()]
    return {element.tag: element for items in macros for item in items for element in item}


def _items(element: Element | None) -> list[list[Element]]:
    return (items_of(element) or []) if element is not None else []
