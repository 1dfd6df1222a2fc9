"""Rows of the index -> the DICOM JSON of a QIDO-RS answer (PS3.18 10.6.3.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from services.archive.model import Resource
from services.archive.searching import Search
from services.dicom.attributes import INSTANCE, SERIES, STUDY, Attribute, tag_of
from services.dicom.dicom_json import DicomJson, loads, select
from services.store.model import Found, InstanceRow, Level, SeriesRow, StudyRow

_OPTIONAL: Final = frozenset(
    tag_of(keyword)
    for keyword in (
        *("SpecificCharacterSet", "TimezoneOffsetFromUTC", "SeriesDescription", "RequestAttributesSequence"),
        *("PerformedProcedureStepStartDate", "PerformedProcedureStepStartTime"),
        *("NumberOfFrames", "Rows", "Columns", "BitsAllocated"),
    )
)
"""Attributes that are left out when they have no value; the others are answered empty."""


def answer(found: Found, search: Search, root: str, metadata: Mapping[str, bytes]) -> DicomJson:
    """Make one object of the answer.

    Args:
        found: the row of the level, and the rows above it that the path does not name.
        search: says what is asked for.
        root: address of the service, for the Retrieve URLs.
        metadata: of instances by SOP Instance UID, where more than the index's own columns is asked for.
    """
    attributes: DicomJson = {}
    if found.study is not None:
        attributes |= _study(found.study, search, root)
    if found.series is not None:
        attributes |= _series(found.series, search, root)
    if found.instance is not None:
        attributes |= _instance(found.instance, search, root, metadata.get(found.instance.sop_instance_uid))
    return dict(sorted(attributes.items()))


def wants_metadata(search: Search) -> bool:
    """Says whether the answer needs more of each instance than the index's columns have."""
    plain = {attribute.tag for level in (STUDY, SERIES, INSTANCE) for attribute in level}
    return search.query.level is Level.INSTANCE and (search.everything or not search.include <= plain)


def _study(row: StudyRow, search: Search, root: str) -> DicomJson:
    counted = {
        "00080056": _value("CS", "ONLINE"),
        "00080061": _value("CS", *row.modalities),
        "00081190": _value("UR", f"{root}/{Resource(row.study_instance_uid).path}"),
        "00201206": _value("IS", row.series),
        "00201208": _value("IS", row.instances),
    }
    if search.everything or "00080062" in search.include:
        counted["00080062"] = _value("UI", *row.sop_classes)
    return _chosen(loads(row.attributes), STUDY, search) | counted


def _series(row: SeriesRow, search: Search, root: str) -> DicomJson:
    resource = Resource(row.study_instance_uid, row.series_instance_uid)
    return _chosen(loads(row.attributes), SERIES, search) | {
        "0020000D": _value("UI", row.study_instance_uid),
        "00081190": _value("UR", f"{root}/{resource.path}"),
        "00201209": _value("IS", row.instances),
    }


def _instance(row: InstanceRow, search: Search, root: str, metadata: bytes | None) -> DicomJson:
    resource = Resource(row.study_instance_uid, row.series_instance_uid, row.sop_instance_uid)
    known = {
        "0020000D": _value("UI", row.study_instance_uid),
        "0020000E": _value("UI", row.series_instance_uid),
        "00080016": _value("UI", row.sop_class_uid),
        "00080018": _value("UI", row.sop_instance_uid),
        "00080056": _value("CS", "ONLINE"),
        "00081190": _value("UR", f"{root}/{resource.path}"),
        "00083002": _value("UI", row.transfer_syntax_uid),
        "00200013": _value("IS", row.instance_number),
        "00280008": _value("IS", row.number_of_frames),
        "00280010": _value("US", row.rows),
        "00280011": _value("US", row.columns),
        "00280100": _value("US", row.bits_allocated),
    }
    known = {tag: element for tag, element in known.items() if "Value" in element or tag not in _OPTIONAL}
    return _chosen(loads(metadata), INSTANCE, search) | known if metadata else known


def _chosen(attributes: DicomJson, defaults: tuple[Attribute, ...], search: Search) -> DicomJson:
    empty: DicomJson = {each.tag: {"vr": each.vr} for each in defaults if each.tag not in _OPTIONAL}
    if search.everything:
        return empty | {tag: element for tag, element in attributes.items() if "BulkDataURI" not in element}
    return empty | select(attributes, {each.tag for each in defaults} | search.include)


def _value(vr: str, *values: Any) -> dict[str, Any]:
    present = [value for value in values if value is not None]
    return {"vr": vr, "Value": present} if present else {"vr": vr}
