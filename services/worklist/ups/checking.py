"""Whether a data set does as PS3.4 Table CC.2.5-3 asks: to create, to update, and to end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from services.dicom.dicom_json import DicomJson
from services.worklist.ups.building import first, items, moment_of, values
from services.worklist.ups.item import StepState, WorkItem
from services.worklist.ups.refusals import in_wrong_state, invalid, not_scheduled
from services.worklist.ups.table import BY_TAG, ROWS, Row

_CHOICES: Final = {
    "ScheduledProcedureStepPriority": ("HIGH", "MEDIUM", "LOW"),
    "InputReadinessState": ("INCOMPLETE", "UNAVAILABLE", "READY"),
}
_CODES: Final = ("CodeValue", "LongCodeValue", "URNCodeValue")


def to_create(given: DicomJson) -> tuple[DicomJson, bool]:
    """What is created of a data set, and whether anything was added to it (B300).

    Raises:
        WorkItemRefusedError: a value is missing or must not be there.
    """
    if first(given, "ProcedureStepState") not in ("", StepState.SCHEDULED):
        raise not_scheduled()
    completed = _completed(given, ROWS, "")
    _choices(given)
    _times(given)
    _codes(given)
    return dict(sorted(completed.items())), completed.keys() != given.keys()


def _completed(given: DicomJson, rows: Iterable[Row], around: str) -> DicomJson:
    found = dict(given)
    for row in rows:
        name, there = f"{around}{row.keyword}", bool(values(given, row.tag))
        match row.create:
            case "1" if not there:
                raise invalid(f"{name} has to have a value")
            case "E" if there:
                raise invalid(f"{name} has to be empty when a work item is created")
            case "X" if row.tag in given:
                raise invalid(f"{name} is not allowed when a work item is created")
            case "2" | "E" if row.tag not in given:
                found[row.tag] = {"vr": row.vr}
            case _:
                pass
        if row.rows and there and row.create != "E":
            found[row.tag] = {
                "vr": "SQ",
                "Value": [_completed(item, row.rows, f"{name}.") for item in items(given, row.keyword)],
            }
    return found


def to_update(given: DicomJson) -> None:
    """Look at what an N-SET would change.

    Raises:
        WorkItemRefusedError: it must not be set, or not to nothing.
    """
    for tag in given:
        row = BY_TAG.get(tag)
        if row is None:
            continue
        if row.set == "X":
            raise invalid(f"{row.keyword} cannot be set")
        if row.final == "R" and not values(given, tag):
            raise invalid(f"{row.keyword} has to have a value")
    _choices(given)
    _times(given)
    _codes(given)


def to_end(item: WorkItem, state: StepState) -> None:
    """Look whether a work item has what its final state asks for (PS3.4 CC.2.5.1.1).

    Raises:
        WorkItemRefusedError: it has not (C304); the reason names what is missing.
    """
    missing = _missing(item.attributes, ROWS, state, "")
    if missing:
        raise in_wrong_state("C304", f"the work item cannot be {state} without {', '.join(missing)}")


def _missing(attributes: DicomJson, rows: Iterable[Row], state: StepState, around: str) -> list[str]:
    needed = {"R", "P"} if state is StepState.COMPLETED else {"R", "X"}
    found: list[str] = []
    for row in rows:
        lacks = row.final in needed and not values(attributes, row.tag)
        if row.final == "N" and state is StepState.COMPLETED:
            lacks = row.tag not in attributes
        if lacks:
            found.append(f"{around}{row.keyword}")
        for within in items(attributes, row.keyword) if row.rows else ():
            found += _missing(within, row.rows, state, f"{around}{row.keyword}.")
    return found


def _choices(given: DicomJson) -> None:
    for keyword, allowed in _CHOICES.items():
        found = first(given, keyword)
        if found and found not in allowed:
            raise invalid(f"{keyword} is one of {', '.join(allowed)}")


def _times(given: DicomJson) -> None:
    """What cannot be read as a time would be passed over where it counts: a deadline above all."""
    for row in ROWS:
        found = first(given, row.keyword) if row.vr == "DT" else ""
        if found and moment_of(found) is None:
            raise invalid(f"{row.keyword} is no date and time")


def _codes(given: DicomJson) -> None:
    """Every coded entry has a value and a meaning (PS3.4 Table CC.2.5-2a), at every depth."""
    for tag, element in given.items():
        if not isinstance(element, dict) or element.get("vr") != "SQ":
            continue
        row = BY_TAG.get(tag)
        for within in values(given, tag):
            if not isinstance(within, dict):
                raise invalid("an item of a sequence is no data set")
            if row is not None and row.keyword.endswith("CodeSequence"):
                _code(within, row.keyword)
            _codes(within)


def _code(item: dict[str, Any], name: str) -> None:
    if not any(first(item, keyword) for keyword in _CODES) or not first(item, "CodeMeaning"):
        raise invalid(f"an item of {name} lacks the code or its meaning")
