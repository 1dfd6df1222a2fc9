"""A condition as SQL over the columns of `columns.py`. `services.dicom.matching.matches` is the model that it follows.

Values travel as arguments, never in the statement.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, assert_never

from services.dicom.matching import AnyOf, Condition, Range, Universal, Wildcard, like_pattern
from services.store.columns import folded_column, name_column, time_column
from services.store.model import Level, Query


class _Kind(Enum):
    """How a column is compared."""

    CODE = auto()
    FOLDED = auto()
    NAME = auto()
    DATE = auto()
    TIME = auto()
    NUMBER = auto()
    CODES = auto()
    FOLDED_SET = auto()


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    kind: _Kind


_STUDY: Final = {
    "StudyInstanceUID": _Column("st.study_instance_uid", _Kind.CODE),
    "PatientName": _Column("st.patient_name", _Kind.NAME),
    "PatientID": _Column("st.patient_id", _Kind.FOLDED),
    "PatientBirthDate": _Column("st.patient_birth_date", _Kind.DATE),
    "PatientSex": _Column("st.patient_sex", _Kind.CODE),
    "StudyDate": _Column("st.study_date", _Kind.DATE),
    "StudyTime": _Column("st.study_time", _Kind.TIME),
    "AccessionNumber": _Column("st.accession_number", _Kind.FOLDED),
    "StudyID": _Column("st.study_id", _Kind.FOLDED),
    "StudyDescription": _Column("st.study_description", _Kind.FOLDED),
    "ReferringPhysicianName": _Column("st.referring_physician_name", _Kind.NAME),
    "ModalitiesInStudy": _Column("st.modalities", _Kind.CODES),
    "SOPClassesInStudy": _Column("st.sop_classes", _Kind.CODES),
}
_SERIES: Final = {
    "SeriesInstanceUID": _Column("se.series_instance_uid", _Kind.CODE),
    "Modality": _Column("se.modality", _Kind.CODE),
    "SeriesNumber": _Column("se.series_number", _Kind.NUMBER),
    "SeriesDescription": _Column("se.series_description", _Kind.FOLDED),
    "SeriesDate": _Column("se.series_date", _Kind.DATE),
    "BodyPartExamined": _Column("se.body_part_examined", _Kind.CODE),
    "PerformedProcedureStepStartDate": _Column("se.performed_procedure_step_start_date", _Kind.DATE),
    "PerformedProcedureStepStartTime": _Column("se.performed_procedure_step_start_time", _Kind.TIME),
    "RequestAttributesSequence.ScheduledProcedureStepID": _Column("se.scheduled_procedure_step_ids", _Kind.FOLDED_SET),
    "RequestAttributesSequence.RequestedProcedureID": _Column("se.requested_procedure_ids", _Kind.FOLDED_SET),
}
_INSTANCE: Final = {
    "SOPInstanceUID": _Column("i.sop_instance_uid", _Kind.CODE),
    "SOPClassUID": _Column("i.sop_class_uid", _Kind.CODE),
    "InstanceNumber": _Column("i.instance_number", _Kind.NUMBER),
}
_COLUMNS: Final = {
    Level.STUDY: _STUDY,
    Level.SERIES: _STUDY | _SERIES,
    Level.INSTANCE: _STUDY | _SERIES | _INSTANCE,
}

SEARCHABLE: Final[Mapping[Level, frozenset[str]]] = {level: frozenset(found) for level, found in _COLUMNS.items()}
"""Keywords that a query can match, by level; those of the levels above are among them."""


class Arguments:
    """The arguments of a statement, as they are added."""

    def __init__(self) -> None:
        self.values: list[object] = []

    def add(self, value: object) -> str:
        """Add one; gives its place in the statement, such as `$3`."""
        self.values.append(value)
        return f"${len(self.values)}"


def where(query: Query, arguments: Arguments) -> str:
    """Give the WHERE clause of a query over `study st`, `series se` and `instance i`."""
    terms = ["TRUE"]
    if query.study_instance_uid:
        terms.append(f"st.study_instance_uid = {arguments.add(query.study_instance_uid)}")
    if query.series_instance_uid:
        terms.append(f"se.series_instance_uid = {arguments.add(query.series_instance_uid)}")
    known = _COLUMNS[query.level]
    for keyword, condition in query.conditions.items():
        if keyword in known and not isinstance(condition, Universal):
            terms.append(_term(known[keyword], condition, arguments))
    return " AND ".join(terms)


def _term(column: _Column, condition: Condition, arguments: Arguments) -> str:
    match condition:
        case AnyOf(values):
            return _any_of(column, values, arguments)
        case Wildcard(pattern):
            return _wildcard(column, pattern, arguments)
        case Range(low, high):
            # `~` comes after every digit: a bound covers all that begins with it.
            low_term = f" AND {column.name} >= {arguments.add(low)}" if low else ""
            high_term = f" AND {column.name} <= {arguments.add(high + '~')}" if high else ""
            return f"({column.name} <> ''{low_term}{high_term})"
        case Universal():
            return "TRUE"
        case _:
            assert_never(condition)


def _any_of(column: _Column, values: tuple[str, ...], arguments: Arguments) -> str:
    match column.kind:
        case _Kind.CODE | _Kind.DATE:
            return f"{column.name} = ANY({arguments.add(list(values))}::text[])"
        case _Kind.FOLDED:
            return f"{column.name} = ANY({arguments.add([folded_column(value) for value in values])}::text[])"
        case _Kind.TIME:
            return f"{column.name} = ANY({arguments.add([time_column(value) for value in values])}::text[])"
        case _Kind.NUMBER:
            numbers = [int(value) for value in values if -(2**63) <= int(value) < 2**63]
            return f"{column.name} = ANY({arguments.add(numbers)}::bigint[])"
        case _Kind.NAME:
            return "(" + " OR ".join(_name(column, value, arguments) for value in values) + ")"
        case _Kind.CODES:
            return f"{column.name} && {arguments.add(list(values))}::text[]"
        case _Kind.FOLDED_SET:
            return f"{column.name} && {arguments.add([folded_column(value) for value in values])}::text[]"
        case _:
            assert_never(column.kind)


def _wildcard(column: _Column, pattern: str, arguments: Arguments) -> str:
    match column.kind:
        case _Kind.NAME:
            return _name(column, pattern, arguments)
        case _Kind.FOLDED:
            return f"{column.name} LIKE {arguments.add(like_pattern(folded_column(pattern)))}"
        case _Kind.CODES:
            return (
                f"EXISTS (SELECT FROM unnest({column.name}) AS v WHERE v LIKE {arguments.add(like_pattern(pattern))})"
            )
        case _Kind.FOLDED_SET:
            folded = like_pattern(folded_column(pattern))
            return f"EXISTS (SELECT FROM unnest({column.name}) AS v WHERE v LIKE {arguments.add(folded)})"
        case _Kind.CODE | _Kind.DATE | _Kind.TIME | _Kind.NUMBER:
            return f"{column.name}::text LIKE {arguments.add(like_pattern(pattern))}"
        case _:
            assert_never(column.kind)


def _name(column: _Column, pattern: str, arguments: Arguments) -> str:
    """A person name answers as a whole or by one of its component groups, which lie between `=` (see `name_column`)."""
    framed = name_column(pattern) or "=="
    inner = framed[1:-1]
    core = inner.strip("*")
    if not re.search(r"[*?=]", core):
        # What most people ask: a name, or the beginning, end or middle of one.
        begin = "%" if inner.startswith("*") else "%="
        end = "%" if inner.endswith("*") else "=%"
        return f"{column.name} LIKE {arguments.add(begin + like_pattern(core) + end)}"
    whole = f"{column.name} LIKE {arguments.add(like_pattern(framed))}"
    if "=" in core:
        return whole
    group = "".join({"*": "[^=]*", "?": "[^=]"}.get(character, re.escape(character)) for character in inner)
    return f"({whole} OR {column.name} ~ {arguments.add(f'={group}=')})"
