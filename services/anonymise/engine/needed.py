"""What models need of an image: everything else may be left behind (`others: needed` of a profile).

Table E.1-1 names what is known to identify; an attribute that it does not name stays, and may hold anything. For what
goes to a machine that only computes it is the other way about: only what is listed goes, texts only with listed values.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from pydicom.datadict import tag_for_keyword

_OTHER = b"OTHER"

Values = frozenset[bytes]
"""The values that may stand in an attribute; empty: any that its VR allows."""


@cache
def needed() -> Mapping[int, Values]:
    """What is needed, by tag; read once."""
    table = files("services.anonymise.engine") / "profiles" / "needed.csv"
    with table.open(encoding="utf-8") as rows:
        return {
            _tag(row["keyword"]): frozenset(value.encode() for value in row["values"].split("|") if value)
            for row in csv.DictReader(rows)
        }


def let_through(value: bytes, allowed: Values) -> bytes:
    """The value with what is not among the allowed ones made `OTHER`."""
    if not allowed or not value:
        return value
    parts = (part.strip(b"\0 ") for part in value.split(b"\\"))
    return b"\\".join(part if part in allowed or not part else _OTHER for part in parts)


def _tag(keyword: str) -> int:
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise ValueError(f"needed.csv: {keyword} is no keyword")
    return tag
