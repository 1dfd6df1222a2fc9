"""Data sets in DICOM JSON (PS3.18 F.2), made from keywords."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from services.dicom.attributes import tag_of, vr_of
from services.dicom.dicom_json import DicomJson

SCHEME = "99PLEXUS"
"""Our coding scheme: the codes of models, by their names."""
_SHORT_CODE = 16


def dataset(**values: Any) -> DicomJson:
    """A data set, by keywords. A list has several values or items; None, "" and an empty list are no value."""
    found: DicomJson = {}
    for keyword, value in values.items():
        tag = tag_of(keyword)
        assert tag is not None, keyword  # noqa: S101  # our own keywords
        found[tag] = element(vr_of(tag), value)
    return dict(sorted(found.items()))


def element(vr: str, value: Any) -> dict[str, Any]:
    """An element of a VR."""
    values = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    values = [each for each in values if each not in (None, "")]
    if vr == "PN":
        values = [{"Alphabetic": each} if isinstance(each, str) else each for each in values]
    return {"vr": vr, "Value": values} if values else {"vr": vr}


def code(value: str, scheme: str, meaning: str) -> DicomJson:
    """A coded entry (PS3.3 8.1): a value of more than 16 characters is a Long Code Value."""
    named = {"CodeValue": value} if len(value) <= _SHORT_CODE else {"LongCodeValue": value}
    return dataset(**named, CodingSchemeDesignator=scheme, CodeMeaning=meaning[:64])


def codes_of(attributes: DicomJson, keyword: str) -> list[tuple[str, str]]:
    """Value and scheme of each coded entry of a code sequence."""
    return [
        (
            first(item, "CodeValue") or first(item, "LongCodeValue") or first(item, "URNCodeValue"),
            first(item, "CodingSchemeDesignator"),
        )
        for item in items(attributes, keyword)
    ]


def items(attributes: DicomJson, keyword: str) -> list[DicomJson]:
    """The items of a sequence; none where it is not there."""
    return [item for item in values(attributes, tag_of(keyword) or "") if isinstance(item, dict)]


def first(attributes: Mapping[str, Any], keyword: str) -> str:
    """The first value of an attribute as text, or ""."""
    found = next(iter(values(attributes, tag_of(keyword) or "")), "")
    if isinstance(found, dict):
        found = found.get("Alphabetic", "")
    return "" if found is None else str(found)


def values(attributes: Mapping[str, Any], tag: str) -> list[Any]:
    """The values of an attribute, which a client may have written as it liked."""
    element = attributes.get(tag)
    found = element.get("Value") if isinstance(element, dict) else None
    return found if isinstance(found, list) else []


_DT: Final = re.compile(
    r"(\d{4})(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:\.(\d{1,6}))?)?)?)?)?)?([+-]\d{4})?", re.ASCII
)
_LEAST: Final = (0, 1, 1, 0, 0, 0)


def moment_of(text: str, offset: str = "") -> datetime | None:
    """A DT (PS3.5 6.2) as a time, its earliest where it says only the day; None if it is none.

    Args:
        offset: Timezone Offset From UTC, where the text has none of its own.
    """
    found = _DT.fullmatch(text.strip())
    if found is None:
        return None
    *parts, fraction, zone = found.groups()
    year, month, day, hour, minute, second = (int(part or least) for part, least in zip(parts, _LEAST, strict=True))
    try:
        there = datetime.strptime(zone or offset or "+0000", "%z").tzinfo
        micro = int((fraction or "").ljust(6, "0"))
        return datetime(year, month, day, hour, minute, min(second, 59), micro, there).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def moment(at: datetime) -> str:
    """A time as DT (PS3.5 6.2), in UTC: work items say so by Timezone Offset From UTC."""
    return at.astimezone(UTC).strftime("%Y%m%d%H%M%S.%f")[:-3]
