"""Rows of the index -> the DICOM JSON of a QIDO-RS answer (PS3.18 10.6.3.3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from services.archive.searching import Search
from services.dicom.attributes import INSTANCE, SERIES, STUDY, tag_of
from services.dicom.dicom_json import DicomJson, dumps, loads
from services.store.levels import SERIES_TAGS, STUDY_TAGS
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
_REMEMBERED: Final = 4096
"""Answers of a kilobyte or so."""
_SHAPES: Final = 256
_ORDER: Final = {level: place for place, level in enumerate(Level)}
_ONLINE: Final = {"vr": "CS", "Value": ["ONLINE"]}
_STUDY_ONLY: Final = (STUDY_TAGS | {"00080061", "00080062", "00201206", "00201208"}) - SERIES_TAGS - {"0020000D"}
_SERIES_ONLY: Final = (SERIES_TAGS | {"00201209"}) - STUDY_TAGS - {"0020000E"}


def wants_metadata(search: Search) -> bool:
    """Says whether the answer needs more of each instance than the index's columns have."""
    known = {attribute.tag for attribute in INSTANCE}
    return search.query.level is Level.INSTANCE and (search.everything or not _tops(search.include) <= known)


def wants_above(search: Search) -> bool:
    """Says whether attributes of a study or series are asked for that the path names, and so would not be answered."""
    query, asked = search.query, _tops(search.include)
    if query.level is Level.STUDY or not query.study_instance_uid:
        return False
    of_series = query.level is Level.INSTANCE and query.series_instance_uid and asked & _SERIES_ONLY
    return bool(asked & _STUDY_ONLY or of_series)


def _tops(paths: Iterable[str]) -> set[str]:
    return {path.partition(".")[0] for path in paths}


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """What is answered of each match; one and the same object for all searches that ask alike.

    Attributes:
        root: address of the service, for the Retrieve URLs.
        tags: of the attributes that are answered, in their order; empty where all are.
        paths: of single attributes of items.
        empty: of those that are answered without a value where there is none, their VRs.
        classes: SOP Classes in Study is asked for.
    """

    root: str
    tags: tuple[str, ...]
    paths: tuple[tuple[str, ...], ...]
    empty: tuple[tuple[str, str], ...]
    classes: bool


def shape_of(search: Search, root: str) -> Shape:
    """Gives the shape of the answer to a search."""
    query = search.query
    named = (bool(query.study_instance_uid), bool(query.series_instance_uid))
    return _shape(query.level, named, search.include, search.everything, root)


@lru_cache(_SHAPES)
def _shape(level: Level, named: tuple[bool, bool], include: frozenset[str], everything: bool, root: str) -> Shape:
    plain = {tag for path in include if "." not in path for tag in (path, _creator_of(path))}
    answered: set[str] = set()
    empty: dict[str, str] = {}
    # What the path names is known to the client: of that, only what is asked for is answered.
    for each, defaults, is_named in zip(Level, (STUDY, SERIES, INSTANCE), (*named, False), strict=True):
        if each is level or (_ORDER[each] < _ORDER[level] and not is_named):
            answered |= {attribute.tag for attribute in defaults}
            empty |= {attribute.tag: attribute.vr for attribute in defaults if attribute.tag not in _OPTIONAL}
    answered |= {"0020000D"} if level is not Level.STUDY else set()
    answered |= {"0020000E"} if level is Level.INSTANCE else set()
    tags = () if everything else tuple(sorted(answered | plain))
    paths = tuple(tuple(path.split(".")) for path in sorted(include) if "." in path and path[:8] not in tags)
    return Shape(root, tags, () if everything else paths, tuple(empty.items()), everything or "00080062" in include)


def answer(found: Found, shape: Shape) -> DicomJson:
    """Makes one object of the answer of a row of the level, and of the rows above it that have come with it."""
    attributes: DicomJson = {tag: {"vr": vr} for tag, vr in shape.empty}
    if found.study is not None:
        attributes |= _read(found.study.attributes)
        attributes |= _of_study(found.study, shape)
    if found.series is not None:
        attributes |= _read(found.series.attributes)
        attributes |= _of_series(found.series, shape.root)
    if found.instance is not None:
        attributes |= _read(found.instance.metadata)
        attributes |= _of_instance(found.instance, shape.root)
    if not shape.tags:
        return dict(sorted(attributes.items()))
    made = {tag: attributes[tag] for tag in shape.tags if tag in attributes}
    if not shape.paths:
        return made
    for path in shape.paths:
        _take(made, attributes, path)
    return dict(sorted(made.items()))


def answer_json(found: Found, shape: Shape) -> bytes:
    """Makes the same as JSON.

    The list that all viewers look at again and again is remembered. What is remembered is told by all that it was made
    of, so it cannot be out of date.
    """
    if found.instance is not None and found.instance.metadata:
        return dumps(answer(found, shape))
    return _remembered(found, shape)


@lru_cache(_REMEMBERED)
def _remembered(found: Found, shape: Shape) -> bytes:
    return dumps(answer(found, shape))


def _of_study(row: StudyRow, shape: Shape) -> DicomJson:
    known = {
        "00080056": _ONLINE,
        "00080061": _element("CS", *row.modalities),
        "00081190": _element("UR", f"{shape.root}/studies/{row.study_instance_uid}"),
        "00201206": _element("IS", row.series),
        "00201208": _element("IS", row.instances),
    }
    return known | {"00080062": _element("UI", *row.sop_classes)} if shape.classes else known


def _of_series(row: SeriesRow, root: str) -> DicomJson:
    return {
        "0020000D": _element("UI", row.study_instance_uid),
        "00081190": _element("UR", f"{root}/studies/{row.study_instance_uid}/series/{row.series_instance_uid}"),
        "00201209": _element("IS", row.instances),
    }


def _of_instance(row: InstanceRow, root: str) -> DicomJson:
    series = f"{root}/studies/{row.study_instance_uid}/series/{row.series_instance_uid}"
    known = {
        "0020000D": _element("UI", row.study_instance_uid),
        "0020000E": _element("UI", row.series_instance_uid),
        "00080016": _element("UI", row.sop_class_uid),
        "00080018": _element("UI", row.sop_instance_uid),
        "00080056": _ONLINE,
        "00081190": _element("UR", f"{series}/instances/{row.sop_instance_uid}"),
        "00083002": _element("UI", row.transfer_syntax_uid),
        "00200013": _element("IS", row.instance_number),
        "00280008": _element("IS", row.number_of_frames),
        "00280010": _element("US", row.rows),
        "00280011": _element("US", row.columns),
        "00280100": _element("US", row.bits_allocated),
    }
    return {tag: element for tag, element in known.items() if "Value" in element or tag not in _OPTIONAL}


def _creator_of(tag: str) -> str:
    """The private creator of a private element, which is answered with it; else the tag itself."""
    private = int(tag[3], 16) % 2 == 1 and tag[4:6] != "00"
    return f"{tag[:4]}00{tag[4:6]}" if private else tag


def _take(into: DicomJson, source: DicomJson, path: Sequence[str]) -> None:
    """Takes one attribute of the items of a sequence."""
    tag, *rest = path
    element = source.get(tag)
    if element is None:
        return
    if not rest or element["vr"] != "SQ":
        into[tag] = element
        return
    items = element.get("Value", ())
    kept = into.setdefault(tag, {"vr": "SQ"} | ({"Value": [{} for _ in items]} if items else {}))
    for item, made in zip(items, kept.get("Value", ()), strict=True):
        _take(made, item or {}, rest)


def _read(body: bytes) -> DicomJson:
    """The attributes without those that are not in the answer but at an address, which the metadata tells."""
    attributes: DicomJson = loads(body) if body else {}
    return _without_bulk(attributes) if b'"BulkDataURI"' in body else attributes


def _without_bulk(attributes: Mapping[str, Any]) -> DicomJson:
    found: DicomJson = {}
    for tag, element in attributes.items():
        if element["vr"] == "SQ" and "Value" in element:
            found[tag] = element | {"Value": [_without_bulk(item or {}) for item in element["Value"]]}
        elif "BulkDataURI" not in element:
            found[tag] = element
    return found


def _element(vr: str, *values: Any) -> dict[str, Any]:
    present = [value for value in values if value is not None]
    return {"vr": vr, "Value": present} if present else {"vr": vr}
