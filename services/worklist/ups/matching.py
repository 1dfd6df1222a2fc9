"""Whether a work item is one of those asked for (PS3.4 C.2.2.2, CC.2.8.3).

Every attribute of a work item is a matching key, at any depth (`ScheduledWorkitemCodeSequence.CodeValue`). Codes and
text are compared as they are, person names without case and accents.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from services.dicom.attributes import keyword_of, tag_of, vr_of
from services.dicom.dicom_json import DicomJson
from services.dicom.matching import (
    NUMERIC_VRS,
    AllOf,
    AnyOf,
    Condition,
    Empty,
    Fuzzy,
    MatchingError,
    Range,
    Universal,
    Wildcard,
    fold,
    normal_number,
    parse_condition,
)
from services.worklist.ups.building import values
from services.worklist.ups.refusals import invalid
from services.worklist.ups.table import TRANSACTION_UID

Path = tuple[str, ...]
Conditions = Mapping[Path, Condition]


def parse_filter(text: str) -> Conditions:
    """Read the filter of a subscription: `attribute=value`, with commas between (PS3.18 11.10.1.2).

    Raises:
        WorkItemRefusedError: there is none, or a key is unknown.
    """
    conditions: dict[Path, Condition] = {}
    if "\0" in text:
        raise invalid("the filter has a character that no text of DICOM has")
    for pair in filter(None, text.split(",")):
        name, equals, value = pair.partition("=")
        path = path_of(name.strip())
        if not equals or path is None or TRANSACTION_UID in path:
            raise invalid("the filter has a key that cannot be matched")
        conditions[path] = condition_of(path, value.strip())
    if not conditions:
        raise invalid("a filtered subscription has to have a filter")
    return conditions


def path_of(name: str) -> Path | None:
    """The tags that a key names, from outside in; None where one of them is unknown."""
    tags = [tag_of(part) for part in name.split(".")]
    return tuple(tag for tag in tags if tag) if all(tags) else None


def condition_of(path: Path, value: str) -> Condition:
    """What a key asks for.

    Raises:
        WorkItemRefusedError: the value is none for it.
    """
    if vr_of(path[-1]) == "SQ" and not value.strip("*"):
        return Universal()
    try:
        return parse_condition(path[-1], value, empty=True)
    except MatchingError:
        raise invalid(f"the value of the key {keyword_of(path[-1]) or path[-1]} is not valid") from None


def matches(attributes: DicomJson, conditions: Conditions) -> bool:
    """Whether a work item is one of those asked for."""
    return all(_holds(condition, path, attributes) for path, condition in conditions.items())


def exactly(conditions: Conditions) -> DicomJson:
    """The conditions that ask for one value as it is written, as a data set that has them: for an index."""
    found: DicomJson = {}
    for path, condition in conditions.items():
        vr = vr_of(path[-1])
        if isinstance(condition, AnyOf) and len(condition.values) == 1 and vr in ("UI", "CS", "SH", "LO", "UC"):
            inner: dict[str, Any] = {path[-1]: {"Value": [condition.values[0]]}}
            for tag in reversed(path[:-1]):
                inner = {tag: {"Value": [inner]}}
            _merge(found, inner)
    return found


def _merge(found: DicomJson, more: DicomJson) -> None:
    for tag, element in more.items():
        if tag not in found:
            found[tag] = element  # two keys of one item: the first narrows, all are matched


def _holds(condition: Condition, path: Path, attributes: DicomJson) -> bool:
    vr = vr_of(path[-1])
    if isinstance(condition, Fuzzy):
        condition = condition.literally
    match condition:
        case Universal():
            return True
        case Empty():
            return not any(_texts(attributes, path, vr))
        case AnyOf():
            wanted = {_normal(value, vr) for value in condition.values}
            return any(_equal(found, wanted, vr) for found in _texts(attributes, path, vr))
        case AllOf():
            return {_normal(value, vr) for value in condition.values} <= set(_texts(attributes, path, vr))
        case Wildcard():
            pattern = _normal(condition.pattern, vr)
            return any(_like(found, pattern) for found in _texts(attributes, path, vr))
        case Range():
            return any(_within(found, condition) for found in _texts(attributes, path, vr))


def _like(text: str, pattern: str) -> bool:
    """Whether a text is as a pattern with `*` and `?` says.

    In steps of no more than the one's length by the other's: a regular expression with many `.*` would try every way
    to share a text among them, and a key, or a filter that is kept, could stop the service.
    """
    at, place, star, mark = 0, 0, -1, 0
    while at < len(text):
        if place < len(pattern) and pattern[place] == "*":
            star, mark = place, at
            place += 1
        elif place < len(pattern) and pattern[place] in ("?", text[at]):
            at, place = at + 1, place + 1
        elif star >= 0:  # the last star takes one character more
            mark += 1
            at, place = mark, star + 1
        else:
            return False
    return not pattern[place:].strip("*")


def _equal(found: str, wanted: set[str], vr: str) -> bool:
    # A time that is asked for by the minute or the day means all of it.
    return found in wanted or (vr in ("DT", "TM") and any(found.startswith(each) for each in wanted if each))


def _within(found: str, asked: Range) -> bool:
    return bool(found) and found >= asked.low and (not asked.high or found[: len(asked.high)] <= asked.high)


def _texts(attributes: DicomJson, path: Path, vr: str) -> Iterator[str]:
    """The values at a path, through every item on the way."""
    found = values(attributes, path[0])
    if len(path) > 1:
        for item in found:
            if isinstance(item, dict):
                yield from _texts(item, path[1:], vr)
        return
    for value in found:
        if vr == "PN" and isinstance(value, dict):
            yield from (_normal(str(part), vr) for part in value.values())
        elif value is not None:
            yield _normal(str(value), vr)


def _normal(text: str, vr: str) -> str:
    if vr in NUMERIC_VRS:
        return normal_number(text)
    return fold(text) if vr == "PN" else text
