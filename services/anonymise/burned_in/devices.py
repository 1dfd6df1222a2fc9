"""Device rules: what a site knows of its devices' pictures, as a table that it can add to.

A CSV table with the columns manufacturer, model, software, modality, rows, columns, action, masks, note. The first four
are patterns with `*` and `?`, upper and lower case alike, rows and columns are numbers; an empty cell fits anything.
The action is `mask` (then `masks` holds rectangles `x y width height`, parted by `;`; a negative x or y counts from the
right or the bottom) or `clean` (such pictures show no text, and are not looked at). The first row that fits rules.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from services.anonymise.burned_in.model import Box
from services.anonymise.errors import DeviceRulesError

_COLUMNS: Final = ("manufacturer", "model", "software", "modality", "rows", "columns", "action", "masks", "note")


_SHIPPED: Final = Path(__file__).parents[3] / "deploy" / "profiles" / "devices.csv"


class Rule(StrEnum):
    """What a rule says of the pictures that it fits."""

    MASK = "mask"
    CLEAN = "clean"


@dataclass(frozen=True, slots=True)
class Device:
    """What made a picture, and its size."""

    manufacturer: str
    model: str
    software: str
    modality: str
    rows: int
    columns: int


@dataclass(frozen=True, slots=True)
class DeviceRule:
    """A row of the table; `rows` and `columns` are 0 where any will do."""

    manufacturer: str
    model: str
    software: str
    modality: str
    rows: int
    columns: int
    action: Rule
    masks: tuple[Box, ...]

    def fits(self, device: Device) -> bool:
        """Whether it rules the pictures of this device and size."""
        patterns = (
            (self.manufacturer, device.manufacturer),
            (self.model, device.model),
            (self.software, device.software),
            (self.modality, device.modality),
        )
        return (
            all(fnmatchcase(value.casefold(), pattern.casefold() or "*") for pattern, value in patterns)
            and self.rows in (0, device.rows)
            and self.columns in (0, device.columns)
        )

    def placed(self, device: Device) -> tuple[Box, ...]:
        """Its rectangles in a picture of that device, those that count from the far edges too."""
        return tuple(
            Box(
                box.x if box.x >= 0 else device.columns + box.x,
                box.y if box.y >= 0 else device.rows + box.y,
                box.width,
                box.height,
            )
            for box in self.masks
        )


def read_rules(path: Path) -> tuple[DeviceRule, ...]:
    """The rules of a table.

    Raises:
        DeviceRulesError: it cannot be read, or a row says something that it cannot mean.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = [(number, line) for number, line in enumerate(file, 1) if line.strip() and line[0] != "#"]
    except (OSError, UnicodeDecodeError) as error:
        raise DeviceRulesError(f"{path} cannot be read ({type(error).__name__})") from None
    table = list(csv.reader([line for _, line in lines], strict=True))
    if not table or tuple(table[0]) != _COLUMNS:
        raise DeviceRulesError(f"{path} does not begin with the columns {', '.join(_COLUMNS)}")
    rules = []
    for (number, _), cells in zip(lines[1:], table[1:], strict=True):
        try:
            rules.append(_rule(cells))
        except ValueError:
            raise DeviceRulesError(f"{path}, line {number} is no device rule") from None
    return tuple(rules)


def shipped_rules() -> tuple[DeviceRule, ...]:
    """The rules of the table that comes with the code; none where the code was installed without it."""
    return read_rules(_SHIPPED) if _SHIPPED.exists() else ()


def rule_for(device: Device, rules: Sequence[DeviceRule]) -> DeviceRule | None:
    """The first rule that fits."""
    return next((rule for rule in rules if rule.fits(device)), None)


def _rule(cells: Sequence[str]) -> DeviceRule:
    manufacturer, model, software, modality, rows, columns, action, masks, _ = (cell.strip() for cell in cells)
    boxes = tuple(_box(text) for text in masks.split(";") if text.strip())
    rule = Rule(action)
    if bool(boxes) is not (rule is Rule.MASK):
        raise ValueError("rectangles go with the action mask")
    if rule is Rule.CLEAN and not (manufacturer.strip("*?") and (model.strip("*?") or software.strip("*?"))):
        raise ValueError("clean is said of a device, not of all of them")
    return DeviceRule(manufacturer, model, software, modality, int(rows or 0), int(columns or 0), rule, boxes)


def _box(text: str) -> Box:
    x, y, width, height = (int(number) for number in text.split())
    if width <= 0 or height <= 0:
        raise ValueError("an empty rectangle")
    return Box(x, y, width, height)
