"""Reading a search for work items (PS3.18 11.9, 8.3.4)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from services.dicom.attributes import tag_of
from services.dicom.dicom_json import DicomJson
from services.dicom.matching import Condition
from services.worklist.ups.matching import Conditions, Path, condition_of, path_of
from services.worklist.ups.refusals import invalid
from services.worklist.ups.table import ANSWERED, TRANSACTION_UID

MOST_RESULTS: Final = 1000
_TRANSPORT: Final = frozenset(("accept", "charset"))
_NO_FUZZY: Final = "The fuzzymatching parameter is not supported. Only literal matching has been performed."
_COUNT: Final = re.compile(r"\d{1,9}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Search:
    """What is asked for.

    Attributes:
        include: tags of further attributes that are answered; `everything`: all of them.
        warnings: texts for the Warning header; they name keys, never values.
    """

    conditions: Conditions
    limit: int = MOST_RESULTS
    offset: int = 0
    include: frozenset[str] = frozenset()
    everything: bool = False
    warnings: tuple[str, ...] = ()

    def answer(self, attributes: DicomJson) -> DicomJson:
        """What is answered of a work item that matches (PS3.18 11.9.2)."""
        wanted = ANSWERED | self.include | {path[0] for path in self.conditions}
        return {
            tag: element
            for tag, element in attributes.items()
            if tag != TRANSACTION_UID and (self.everything or tag in wanted)
        }


def parse_search(parameters: Iterable[tuple[str, str]]) -> Search:
    """Read the query of a search.

    Raises:
        WorkItemRefusedError: a value is not valid for its key; the reason names the key.
    """
    conditions: dict[Path, Condition] = {}
    include: set[str] = set()
    limit, offset, everything = MOST_RESULTS, 0, False
    warnings: list[str] = []
    for name, value in parameters:
        match name.lower():
            case "limit":
                limit = min(_count(name, value), MOST_RESULTS)
            case "offset":
                offset = _count(name, value)
            case "fuzzymatching":
                if value.lower() == "true":
                    warnings.append(_NO_FUZZY)
            case "includefield":
                everything = _include(value, include, warnings) or everything
            case known if known in _TRANSPORT:
                pass
            case _:
                path = path_of(name)
                if path is None or TRANSACTION_UID in path:
                    warnings.append("a key that cannot be matched was ignored")
                else:
                    conditions[path] = condition_of(path, value)
    return Search(conditions, limit, offset, frozenset(include), everything, tuple(dict.fromkeys(warnings)))


def _include(value: str, include: set[str], warnings: list[str]) -> bool:
    """Take in the attributes of an `includefield`; whether it asks for all."""
    fields = [field for each in value.split(",") if (field := each.strip())]
    for field in fields:
        tag = tag_of(field.partition(".")[0])
        if tag:
            include.add(tag)
        elif field.lower() != "all":
            warnings.append("an includefield of an unknown name was ignored")
    return any(field.lower() == "all" for field in fields)


def _count(name: str, value: str) -> int:
    if not _COUNT.fullmatch(value):
        raise invalid(f"{name.lower()} is a number")
    return int(value)
