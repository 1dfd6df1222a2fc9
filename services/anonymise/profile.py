"""PS3.15 Table E.1-1 as data, and its compound codes resolved by the attribute's type in the IOD.

The tables and their making are described in `profiles/README.md`.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import assert_never

from services.anonymise.model import Action, Code

EDITION = "2026c"
_RANGES = ("50xxxxxx", "60xx3000", "60xx4000", "gggggggg")
ROOT = 0
"""The `parent` of an element that lies in no sequence."""


@dataclass(frozen=True, slots=True)
class Profile:
    """The Basic Application Level Confidentiality Profile of one edition.

    Attributes:
        edition: of the standard, such as `2026c`.
        codes: action code by tag. The ranges of the table (private, curves, overlays) are removed by the engine.
        types: `1`, `1C`, `2` or `2C` by (SOP class, tag of the sequence it lies in or ROOT, tag); absent is type 3.
    """

    edition: str
    codes: Mapping[int, Code]
    types: Mapping[tuple[str, int, int], str]

    def action(self, code: Code, sop_class_uid: str, parent: int, tag: int) -> Action:
        """What `code` means for the attribute `tag` in this IOD (PS3.15 E.3.1)."""
        simple = _SIMPLE.get(code)
        if simple is not None:
            return simple
        return resolve(code, self.types.get((sop_class_uid, parent, tag), "3"))


_SIMPLE = {Code.X: Action.REMOVE, Code.Z: Action.EMPTY, Code.D: Action.DUMMY, Code.U: Action.UID}


def resolve(code: Code, attribute_type: str) -> Action:
    """The action of a code for an attribute of type `1`, `1C`, `2`, `2C` or `3`.

    The least that keeps the instance valid is taken: remove what may be absent, empty what may be empty.
    """
    needs_value, needs_presence = attribute_type in ("1", "1C"), attribute_type != "3"
    match code:
        case Code.X:
            return Action.REMOVE
        case Code.Z:
            return Action.EMPTY
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
            return Action.UID if needs_value else Action.EMPTY if needs_presence else Action.REMOVE
        case _:
            assert_never(code)


@cache
def basic_profile() -> Profile:
    """The Basic Profile, read once."""
    folder = files("services.anonymise") / "profiles"
    with (folder / f"ps3.15-{EDITION}-table-e1-1.csv").open(encoding="utf-8") as table:
        codes = {int(row["tag"], 16): Code(row["basic"]) for row in csv.DictReader(table) if row["tag"] not in _RANGES}
    with (folder / "image-iod-types.csv").open(encoding="utf-8") as table:
        types = {
            (row["sop_class_uid"], int(row["parent"] or "0", 16), int(row["tag"], 16)): row["type"]
            for row in csv.DictReader(table)
        }
    return Profile(EDITION, codes, types)
