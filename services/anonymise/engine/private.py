"""Private attributes known to be safe, by their creator (PS3.15 E.3.10 and Table E.3.10-1)."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from services.anonymise.engine.attributes import Attribute
from services.anonymise.engine.elements import Element

NUMERIC = frozenset(("DS", "FD", "FL", "IS", "SL", "SS", "UL", "US", "SV", "UV"))
TEXT = frozenset(("CS", "LO", "SH"))
"""What a profile may keep: numbers, codes, short texts; not dates, names, UIDs, sequences or bytes of any kind."""


class PrivateKey(NamedTuple):
    """Names a private attribute wherever its block lies (PS3.5 7.8.1)."""

    creator: str
    group: int
    element: int


@dataclass(frozen=True, slots=True)
class SafePrivate:
    """One attribute of a safe list.

    Attributes:
        most: the most values it may have; 0 is any number.
    """

    vr: str
    most: int


SafeList = Mapping[PrivateKey, SafePrivate]


@cache
def standard_safe_list() -> SafeList:
    """The list of the standard, without its bulk bytes, sequences, UIDs and messages: nobody can look into those."""
    with (files("services.anonymise.engine") / "profiles" / "safe-private.csv").open(encoding="utf-8") as table:
        return {
            PrivateKey(row["creator"], int(row["group"], 16), int(row["element"], 16)): SafePrivate(
                row["vr"], int(row["most"])
            )
            for row in csv.DictReader(table)
        }


class Blocks:
    """The private blocks that the creators of one data set reserve."""

    def __init__(self, elements: list[Element]) -> None:
        self._creators = {
            element.tag: bytes(element.value).strip(b" \0").decode("ascii", "replace")
            for element in elements
            if element.tag >> 16 & 1 and 0x10 <= element.tag & 0xFFFF <= 0xFF
        }
        self.used: set[int] = set()

    def find(self, tag: int, safe: SafeList) -> Attribute | None:
        """The attribute that `tag` is here, if it is on the list; its block is then in use."""
        reserved = tag & 0xFFFF0000 | tag >> 8 & 0xFF
        creator = self._creators.get(reserved)
        found = safe.get(PrivateKey(creator, tag >> 16, tag & 0xFF)) if creator else None
        if found is None:
            return None
        self.used.add(reserved)
        return Attribute(tag, (found.vr,), found.most, False)

    def creator(self, tag: int) -> str | None:
        """The name of the creator that reserved a block by the element `tag`, if the block is in use."""
        return self._creators[tag] if tag in self.used else None
