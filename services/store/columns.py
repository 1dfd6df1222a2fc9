"""From an instance's attributes to the typed columns of the index: what a query can match (PS3.18 10.6.1.2).

`search.py` is the other half: it compares these columns with a condition. An attribute that is missing is "" here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from services.dicom.dicom_json import dumps, text, texts
from services.dicom.matching import fold
from services.store.levels import series_attributes, study_attributes
from services.store.model import Entry

_DATE = re.compile(r"(\d{4})\.?(\d\d)\.?(\d\d)")
_TIME = re.compile(r"(\d\d)(?::?(\d\d)(?::?(\d\d)(?:\.(\d{1,6}))?)?)?")
_INT32 = range(-(2**31), 2**31)
_INT64 = range(-(2**63), 2**63)

Row = tuple[object, ...]

STUDY_COLUMNS = (
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
)


def study_row(entry: Entry) -> Row:
    """The values of `STUDY_COLUMNS`."""
    of = entry.attributes
    return (
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


SERIES_COLUMNS = (
    "series_instance_uid",
    "modality",
    "series_number",
    "series_description",
    "series_date",
    "body_part_examined",
    "performed_procedure_step_start_date",
    "performed_procedure_step_start_time",
    "scheduled_procedure_step_ids",
    "requested_procedure_ids",
    "attributes",
)


def series_row(entry: Entry) -> Row:
    """The values of `SERIES_COLUMNS`."""
    of = entry.attributes
    return (
        entry.series_instance_uid,
        text_column(text(of, "Modality")),
        _integer(text(of, "SeriesNumber"), _INT64),
        folded_column(text(of, "SeriesDescription")),
        date_column(text(of, "SeriesDate")),
        text_column(text(of, "BodyPartExamined")),
        date_column(text(of, "PerformedProcedureStepStartDate")),
        time_column(text(of, "PerformedProcedureStepStartTime")),
        sorted({folded_column(value) for value in _requested(of, "ScheduledProcedureStepID")}),
        sorted({folded_column(value) for value in _requested(of, "RequestedProcedureID")}),
        dumps(series_attributes(dict(of))),
    )


INSTANCE_COLUMNS = (
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
    return fold(text_column(value))


def name_column(value: str) -> str:
    """A person name as it is matched: folded, each component group between `=`; "" where there is none."""
    groups = [group.rstrip("^ ") for group in folded_column(value).split("=")]
    return f"={'='.join(groups)}=" if any(groups) else ""


def date_column(value: str) -> str:
    """A date as `YYYYMMDD`, also from the form of old with points (PS3.5 6.2); "" where it is none."""
    found = _DATE.fullmatch(value.strip())
    return "".join(found.groups()) if found else ""


def time_column(value: str) -> str:
    """A time as `HHMMSS.FFFFFF`, what is left out being zero; "" where it is none."""
    found = _TIME.fullmatch(value.strip())
    if not found:
        return ""
    hours, minutes, seconds, fraction = (part or "" for part in found.groups())
    return f"{hours}{minutes or '00'}{seconds or '00'}.{fraction:0<6}"


def _requested(attributes: Mapping[str, Any], keyword: str) -> Iterator[str]:
    """Values in the items of the Request Attributes Sequence (0040,0275)."""
    for item in attributes.get("00400275", {}).get("Value", ()):
        yield from texts(item or {}, keyword)


def _integer(value: str, within: range) -> int | None:
    try:
        number = int(value)
    except ValueError:
        return None
    return number if number in within else None
