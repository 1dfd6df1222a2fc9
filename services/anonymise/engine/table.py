"""PS3.15 Table E.1-1 as data, with its option columns, and its compound codes resolved by the attribute's type.

The tables and their making are described in `profiles/README.md`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from typing import assert_never

from services.anonymise.engine.options import OF_PIXELS, Option
from services.anonymise.model import Action, Code

EDITION = "2026c"
RANGES = ("50xxxxxx", "60xx3000", "60xx4000", "gggggggg")
"""The rows that are no single attribute: curves, overlays, private attributes. The engine knows them by their group."""
ROOT = 0
"""The `parent` of an element that lies in no sequence."""

_FOLDER = files("services.anonymise.engine") / "profiles"

Types = Mapping[tuple[int, int], str]
"""`1`, `1C`, `2` or `2C` by (tag of the sequence it lies in or ROOT, tag); absent is type 3."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table.

    Attributes:
        basic: the action code of the Basic Profile.
        options: `K` or `C`, by the option that says so.
    """

    tag: int
    basic: Code
    options: Mapping[Option, str]


class Table:
    """The table of one edition.

    Attributes:
        edition: of the standard, such as `2026c`.
    """

    def __init__(self, edition: str) -> None:
        self.edition = edition

    @cached_property
    def rows(self) -> Mapping[int, Row]:
        """Every row that names one attribute, by tag."""
        columns = [option for option in Option if option not in OF_PIXELS]
        return {
            int(row["tag"], 16): Row(
                int(row["tag"], 16),
                Code(row["basic"]),
                {option: row[option.column] for option in columns if row[option.column] in ("K", "C")},
            )
            for row in _read(f"ps3.15-{self.edition}-table-e1-1.csv")
            if row["tag"] not in RANGES
        }

    @cached_property
    def beyond(self) -> Mapping[int, Row]:
        """Rows of our own, where the table is silent on what names places, orders and documents, by tag."""
        return {
            int(row["tag"], 16): Row(
                int(row["tag"], 16),
                Code(row["basic"]),
                {option: "C" for option in (Option.CLEAN_DESCRIPTORS, Option.CLEAN_GRAPHICS) if row[option.column]},
            )
            for row in _read("beyond-the-table.csv")
        }

    def types(self, sop_class_uid: str) -> Types:
        """The types of attributes in the IOD of a SOP class (PS3.3); empty for one that is not known."""
        return _types_by_iod().get(_iods().get(sop_class_uid, ""), {})


def resolve(code: Code, attribute_type: str) -> Action:
    """The action of a code for an attribute of type `1`, `1C`, `2`, `2C` or `3` (PS3.15 E.3.1).

    The least that keeps the instance valid is taken: remove what may be absent, empty what may be empty. That holds
    for X and Z, too, where an IOD always asks for more (PS3.15 E.1.1: the integrity of the IOD is the de-identifier's
    duty). Only of Source and Referenced Image Sequence (X/Z/U*) more than the least is taken: emptied, an object would
    say that it was made of nothing, and its references with new UIDs name nobody.
    """
    needs_value, needs_presence = attribute_type in ("1", "1C"), attribute_type != "3"
    match code:
        case Code.X:
            return {"1": Action.DUMMY, "2": Action.EMPTY}.get(attribute_type, Action.REMOVE)
        case Code.Z:
            return Action.DUMMY if attribute_type == "1" else Action.EMPTY
        case Code.D:
            return Action.DUMMY
        case Code.U:
            return Action.UID
        case Code.Z_D:
            return Action.DUMMY if needs_value else Action.EMPTY
        case Code.X_Z:
            return Action.EMPTY if needs_presence else Action.REMOVE
        case Code.X_D:
            return Action.DUMMY if needs_presence else Action.REMOVE
        case Code.X_Z_D:
            return Action.DUMMY if needs_value else Action.EMPTY if needs_presence else Action.REMOVE
        case Code.X_Z_U:
            return Action.UID if needs_presence else Action.REMOVE
        case _:
            assert_never(code)


@cache
def standard_table() -> Table:
    """The table, read once."""
    return Table(EDITION)


def _read(name: str) -> Iterator[dict[str, str]]:
    with (_FOLDER / name).open(encoding="utf-8") as table:
        yield from csv.DictReader(table)


@cache
def _iods() -> Mapping[str, str]:
    return {row["sop_class_uid"]: row["iod"] for row in _read("sop-class-iods.csv")}


@cache
def _types_by_iod() -> Mapping[str, Types]:
    found: dict[str, dict[tuple[int, int], str]] = {}
    with (_FOLDER / "iod-types.csv").open(encoding="utf-8") as table:
        for iod, parent, tag, kind in list(csv.reader(table))[1:]:
            found.setdefault(iod, {})[int(parent or "0", 16), int(tag, 16)] = kind
    return found
