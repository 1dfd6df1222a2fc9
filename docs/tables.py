"""Writes the tables of `docs/conformance.md` from the code, so that they cannot say what the code does not do.

A table stands between `<!-- table: NAME -->` and `<!-- end -->`. `python docs/tables.py` writes them anew, with
`--check` it only says which are out of date; `./plexus test` does that.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from fastapi.routing import APIRoute
from pydantic_settings import BaseSettings
from pydicom._uid_dict import UID_dictionary

from services.bridge.model import STORAGE_CLASSES
from services.bridge.settings import Settings as BridgeSettings
from services.dicom.attributes import INSTANCE, SERIES, STUDY, Attribute
from services.dicom.reasons import Reason
from services.encode.plan import ORDER, SOP_CLASSES
from services.pixels.table import table as transfer_syntaxes
from services.store.model import Level
from services.store.search import SEARCHABLE
from services.worklist.ups.table import ROWS, Row

PAGE: Final = Path(__file__).with_name("conformance.md")
_BLOCK: Final = re.compile(r"(<!-- table: (?P<name>[a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(str(cell) for cell in line)} |\n" for line in lines)


def storage_sop_classes() -> str:
    """Every SOP class that C-STORE takes."""
    named = ((UID_dictionary.get(uid, ("(newer than our dictionary)",))[0], uid) for uid in STORAGE_CLASSES)
    return table(("SOP class", "UID"), sorted(named))


def failure_reasons() -> str:
    """Failure Reason of STOW-RS, Status of C-STORE."""
    return table(
        ("code", "reason", "when"),
        ((f"{each.failure_reason:04X}", f"`{each.value}`", each.text) for each in sorted(Reason, key=_by_code)),
    )


def _by_code(reason: Reason) -> tuple[int, str]:
    return reason.failure_reason, reason.value


def search_keys() -> str:
    """What a query can match, and what it gives back, by level."""
    above: frozenset[str] = frozenset()
    rows = []
    for level, attributes in ((Level.STUDY, STUDY), (Level.SERIES, SERIES), (Level.INSTANCE, INSTANCE)):
        own = SEARCHABLE[level] - above
        above |= own
        rows.append((level.value, ", ".join(sorted(own)), _keywords(attributes)))
    return table(("level", "matching keys (those of the levels above too)", "returned without being asked for"), rows)


def _keywords(attributes: Iterable[Attribute]) -> str:
    return ", ".join(attribute.keyword for attribute in attributes)


def result_objects() -> str:
    """The SOP classes that a model's result becomes, in the order in which they are stored."""
    rows = [
        (f"`{kind}`", UID_dictionary.get(uid, ("Label Map Segmentation Storage",))[0], uid)
        for kind in ORDER
        for uid in SOP_CLASSES[kind]
    ]
    return table(("kind (of the card's `results`)", "SOP class", "UID"), rows)


def work_items() -> str:
    """What UPS-RS asks for and answers, attribute by attribute."""
    return table(
        ("attribute", "create", "update", "final", "answered"),
        ((f"{'>' * depth}{row.keyword}", row.create, row.set, row.final, row.answer) for depth, row in _rows(ROWS, 0)),
    )


def _rows(rows: Iterable[Row], depth: int) -> Iterator[tuple[int, Row]]:
    for row in rows:
        yield depth, row
        yield from _rows(row.rows, depth + 1)


def bridge_settings() -> str:
    """What a site can set of DIMSE."""
    return settings_of(BridgeSettings, without={"http_host", "log_level", "otlp_endpoint", "spans_file"})


def settings_of(settings: type[BaseSettings], *, without: set[str] = frozenset()) -> str:  # type: ignore[assignment]  # an empty set
    """The settings of a service with their defaults."""
    prefix = settings.model_config["env_prefix"]
    rows = [
        (f"`{prefix}{name.upper()}`", _default(field.get_default(call_default_factory=True)))
        for name, field in settings.model_fields.items()
        if name not in without
    ]
    return table(("setting", "default"), sorted(rows))


def _default(value: Any) -> str:
    if value is None or value in ("", frozenset(), ()):
        return "–"
    return f"`{value}`" if "Undefined" not in type(value).__name__ else "must be set"


def routes_of(routes: Iterable[APIRoute]) -> str:
    """Methods by path."""
    methods: dict[str, set[str]] = {}
    for route in routes:
        methods.setdefault(route.path, set()).update(route.methods or ())
    return table(("path", "methods"), ((f"`{path}`", ", ".join(sorted(found))) for path, found in methods.items()))


TABLES: Final[dict[str, Callable[[], str]]] = {
    "storage-sop-classes": storage_sop_classes,
    "failure-reasons": failure_reasons,
    "search-keys": search_keys,
    "result-objects": result_objects,
    "work-items": work_items,
    "bridge-settings": bridge_settings,
    "transfer-syntaxes": transfer_syntaxes,
}


def written(page: str) -> str:
    """The page with its tables made anew.

    Raises:
        KeyError: it has a table that nobody makes.
    """
    return _BLOCK.sub(lambda found: found[1] + TABLES[found["name"]]() + found[3], page)


def main(arguments: Sequence[str]) -> int:
    """Write the page, or check it."""
    before = PAGE.read_text()
    after = written(before)
    missing = TABLES.keys() - {found["name"] for found in _BLOCK.finditer(before)}
    if missing:
        print(f"{PAGE.name} does not show: {', '.join(sorted(missing))}")
        return 1
    if "--check" in arguments:
        if after != before:
            print(f"{PAGE.name} is not what the code does; run: .venv/bin/python docs/tables.py")
        return int(after != before)
    PAGE.write_text(after)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
