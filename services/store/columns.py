"""From an instance's attributes to the columns of the index: what a query can match (PS3.18 10.6.1.2).

`search.py` is the other half: it compares these columns with a condition. An attribute that is missing is "" here.
What has no column of its own lies in `more`, and `terms` finds both (`terms.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from services.dicom.attributes import keyword_of, tag_of, vr_of
from services.dicom.dicom_json import dumps, text, texts
from services.dicom.matching import (
    FOLDED_VRS,
    NUMERIC_VRS,
    UNMATCHABLE_VRS,
    fold,
    normal_date,
    normal_number,
    normal_time,
    sound,
    words_of,
)
from services.store import terms
from services.store.levels import (
    SERIES_ITEMS,
    SERIES_TAGS,
    STUDY_ITEMS,
    STUDY_TAGS,
    series_attributes,
    study_attributes,
)
from services.store.model import Entry

_OFFSET: Final = re.compile(r"([+-])(\d\d)(\d\d)", re.ASCII)
_INT32 = range(-(2**31), 2**31)
_INT64 = range(-(2**63), 2**63)

Row = tuple[object, ...]

STUDY_COLUMNS: Final = (
    "study_instance_uid",
    "patient_name",
    "patient_id",
    "patient_birth_date",
    "patient_sex",
    "study_date",
    "study_time",
    "accession_number",
    "study_id",
    "study_description",
    "referring_physician_name",
    "attributes",
    "more",
    "terms",
)
SERIES_COLUMNS: Final = (
    "series_instance_uid",
    "modality",
    "series_number",
    "series_description",
    "series_date",
    "body_part_examined",
    "performed_procedure_step_start_date",
    "performed_procedure_step_start_time",
    "attributes",
    "more",
    "terms",
)
_TYPES: Final = {"attributes": "bytea", "series_number": "bigint", "more": "jsonb", "terms": "integer[]"}
"""Types of these columns; the others are text."""
_AS_TEXT: Final = ("jsonb", "integer[]")
"""Types whose values are given as text, which PostgreSQL reads: an array of arrays cannot be told apart again."""

STUDY_CODES: Final = {"PatientSex": "patient_sex"}
SERIES_CODES: Final = {"Modality": "modality", "BodyPartExamined": "body_part_examined"}
"""Columns of codes: their whole values are terms."""
STUDY_TEXTS: Final = {
    "PatientName": "patient_name",
    "PatientID": "patient_id",
    "AccessionNumber": "accession_number",
    "StudyID": "study_id",
    "StudyDescription": "study_description",
    "ReferringPhysicianName": "referring_physician_name",
}
_NAMES: Final = frozenset(("PatientName", "ReferringPhysicianName"))
SERIES_TEXTS: Final = {"SeriesDescription": "series_description"}
"""Columns of folded text and names: their triples of characters are terms."""

STUDY_MOMENTS: Final = {"Study": ("StudyDate", "StudyTime")}
SERIES_MOMENTS: Final = {
    "Series": ("SeriesDate", "SeriesTime"),
    "PerformedProcedureStepStart": ("PerformedProcedureStepStartDate", "PerformedProcedureStepStartTime"),
}
"""Dates and times that go together: with the data set's offset from UTC they are moments."""

_STUDY_OWN: Final = frozenset(
    (*STUDY_CODES, *STUDY_TEXTS, "StudyInstanceUID", "PatientBirthDate", "StudyDate", "StudyTime")
)
_SERIES_OWN: Final = frozenset(
    (
        *(*SERIES_CODES, *SERIES_TEXTS, "SeriesInstanceUID", "SeriesNumber", "SeriesDate"),
        *("PerformedProcedureStepStartDate", "PerformedProcedureStepStartTime"),
    )
)


def _others(tags: Iterable[str], own: frozenset[str]) -> dict[str, str]:
    keywords = {keyword_of(tag): tag for tag in sorted(tags) if vr_of(tag) not in UNMATCHABLE_VRS}
    return {keyword: tag for keyword, tag in keywords.items() if keyword not in {*own, "SpecificCharacterSet"}}


STUDY_OTHERS: Final = _others(STUDY_TAGS, _STUDY_OWN)
SERIES_OTHERS: Final = _others(SERIES_TAGS, _SERIES_OWN)
"""Attributes that have no column of their own and lie in `more`, under their tags."""


def unnested(names: Sequence[str]) -> str:
    """SQL that makes rows of arrays, `$1` and so on, one a column."""
    types = [_TYPES.get(name, "text") for name in names]
    given = ["text" if kind in _AS_TEXT else kind for kind in types]
    arguments = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(given, start=1))
    values = ", ".join(f"r.{name}::{kind}" for name, kind in zip(names, types, strict=True))
    return f"SELECT {values} FROM unnest({arguments}) AS r({', '.join(names)})"  # noqa: S608  # names of columns


def placeholders(names: Sequence[str], first: int) -> str:
    """SQL of the values of one row, `$first` and so on."""
    types = [_TYPES.get(name, "text") for name in names]
    given = [f"text::{kind}" if kind in _AS_TEXT else kind for kind in types]
    return ", ".join(f"${number}::{kind}" for number, kind in enumerate(given, start=first))


def study_row(entry: Entry) -> Row:
    """The values of `STUDY_COLUMNS`."""
    of = entry.attributes
    row = (
        entry.study_instance_uid,
        name_column(text(of, "PatientName")),
        folded_column(text(of, "PatientID")),
        date_column(text(of, "PatientBirthDate")),
        text_column(text(of, "PatientSex")),
        date_column(text(of, "StudyDate")),
        time_column(text(of, "StudyTime")),
        folded_column(text(of, "AccessionNumber")),
        folded_column(text(of, "StudyID")),
        folded_column(text(of, "StudyDescription")),
        name_column(text(of, "ReferringPhysicianName")),
        dumps(study_attributes(dict(of))),
    )
    more = _more(of, STUDY_OTHERS, STUDY_ITEMS, STUDY_MOMENTS)
    if sounds := _sounds(of, {"PatientName", "ReferringPhysicianName", *STUDY_OTHERS}):
        more["sounds"] = sounds
    named = dict(zip(STUDY_COLUMNS, row, strict=False))
    return *row, dumps(more).decode(), _terms(named, STUDY_CODES, STUDY_TEXTS, more)


def series_row(entry: Entry) -> Row:
    """The values of `SERIES_COLUMNS`."""
    of = entry.attributes
    row = (
        entry.series_instance_uid,
        text_column(text(of, "Modality")),
        _integer(text(of, "SeriesNumber"), _INT64),
        folded_column(text(of, "SeriesDescription")),
        date_column(text(of, "SeriesDate")),
        text_column(text(of, "BodyPartExamined")),
        date_column(text(of, "PerformedProcedureStepStartDate")),
        time_column(text(of, "PerformedProcedureStepStartTime")),
        dumps(series_attributes(dict(of))),
    )
    more = _more(of, SERIES_OTHERS, SERIES_ITEMS, SERIES_MOMENTS)
    if sounds := _sounds(of, SERIES_OTHERS):
        more["sounds"] = sounds
    named = dict(zip(SERIES_COLUMNS, row, strict=False))
    return *row, dumps(more).decode(), _terms(named, SERIES_CODES, SERIES_TEXTS, more)


INSTANCE_COLUMNS: Final = (
    "sop_instance_uid",
    "sop_class_uid",
    "transfer_syntax_uid",
    "instance_number",
    "rows",
    "columns",
    "bits_allocated",
    "number_of_frames",
    "digest",
    "bytes",
    "metadata",
    "layout",
)


def instance_row(entry: Entry) -> Row:
    """The values of `INSTANCE_COLUMNS`."""
    of = entry.attributes
    return (
        entry.sop_instance_uid,
        entry.sop_class_uid,
        entry.transfer_syntax_uid,
        _integer(text(of, "InstanceNumber"), _INT64),
        _integer(text(of, "Rows"), _INT32),
        _integer(text(of, "Columns"), _INT32),
        _integer(text(of, "BitsAllocated"), _INT32),
        _integer(text(of, "NumberOfFrames"), _INT32),
        bytes.fromhex(entry.digest),
        entry.size,
        entry.metadata,
        entry.layout,
    )


def text_column(value: str) -> str:
    """A code or an identifier as it is matched: without the NUL that PostgreSQL cannot hold."""
    return value.replace("\0", "").strip()


def folded_column(value: str) -> str:
    """Text of the VRs that are compared without case and accents (`matching.FOLDED_VRS`)."""
    return fold(text_column(value)).strip()


def name_column(value: str) -> str:
    """A person name as it is matched: folded, each component group between `=`; "" where there is none."""
    groups = "=".join(group.strip().rstrip("^ ") for group in folded_column(value).split("=")).rstrip("=")
    return f"={groups}=" if groups else ""


def date_column(value: str) -> str:
    """A date as `YYYYMMDD`, also from the form of old with points (PS3.5 6.2); "" where it is none."""
    return normal_date(value.strip())


def time_column(value: str) -> str:
    """A time as `HHMMSS.FFFFFF`, what is left out being zero; "" where it is none."""
    return normal_time(value.strip())


def normal(vr: str, value: str) -> str:
    """A value of a VR as it is matched."""
    if vr == "PN":
        return name_column(value)
    if vr == "DA":
        return date_column(value)
    if vr == "TM":
        return time_column(value)
    if vr in NUMERIC_VRS:
        return normal_number(value.strip())
    return folded_column(value) if vr in FOLDED_VRS else text_column(value)


def _more(
    attributes: Mapping[str, Any],
    others: Mapping[str, str],
    items: Mapping[str, tuple[str, ...]],
    moments: Mapping[str, tuple[str, str]],
) -> dict[str, Any]:
    found: dict[str, Any] = _values(attributes, others.values())
    for sequence, keywords in items.items():
        tag = tag_of(sequence) or ""
        tags = [inner for keyword in keywords if (inner := tag_of(keyword))]
        if values := [_values(item or {}, tags) for item in attributes.get(tag, {}).get("Value", ())]:
            found[tag] = values
    offset = minutes_of(text(attributes, "TimezoneOffsetFromUTC").strip())
    if offset is not None:
        known = {name: _moment(attributes, *pair, offset) for name, pair in moments.items()}
        if known := {name: moment for name, moment in known.items() if moment}:
            found["moments"] = known
    return found


def _values(attributes: Mapping[str, Any], tags: Iterable[str]) -> dict[str, Any]:
    found = {}
    for tag in tags:
        if tag in attributes and (values := [v for each in texts(attributes, tag) if (v := normal(vr_of(tag), each))]):
            found[tag] = values
    return found


def minutes_of(offset: str) -> int | None:
    """The minutes of an offset from UTC such as `-0330` (PS3.3 C.12.1.1.8); None where it is none."""
    found = _OFFSET.fullmatch(offset)
    if not found or int(found[2]) > 14 or int(found[3]) > 59:
        return None
    return (int(found[2]) * 60 + int(found[3])) * (-1 if found[1] == "-" else 1)


def _moment(attributes: Mapping[str, Any], day: str, time: str, minutes: int) -> str:
    date, clock = date_column(text(attributes, day)), time_column(text(attributes, time))
    try:
        local = datetime.strptime(f"{date}{clock}", "%Y%m%d%H%M%S.%f")  # UTC comes of it here
        return (local - timedelta(minutes=minutes)).isoformat()
    except (ValueError, OverflowError):
        return ""


def _sounds(attributes: Mapping[str, Any], keywords: Iterable[str]) -> list[str]:
    names = {keyword: texts(attributes, keyword) for keyword in keywords if vr_of(tag_of(keyword) or "") == "PN"}
    return sorted({
        f"{keyword} {heard}"
        for keyword, values in names.items()
        for value in values
        for word in words_of(value)
        if (heard := sound(word))
    })  # fmt: skip


def _terms(
    row: Mapping[str, object], codes: Mapping[str, str], folded: Mapping[str, str], more: Mapping[str, Any]
) -> str:
    numbers = {terms.whole(keyword, str(row[column])) for keyword, column in codes.items() if row[column]}
    for keyword, column in folded.items():
        numbers |= terms.triples(keyword, str(row[column]), name=keyword in _NAMES)
    for key, values in more.items():
        if key == "moments":
            continue
        for value in values:
            if isinstance(value, dict):
                numbers.update(terms.whole(f"{key}.{inner}", each) for inner in value for each in value[inner])
            else:
                numbers.add(terms.whole(key, value))
    return terms.literal(numbers)


def _integer(value: str, within: range) -> int | None:
    try:
        number = int(value)
    except ValueError:
        return None
    return number if number in within else None
