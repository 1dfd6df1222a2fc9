"""The Query/Retrieve information models (PS3.4 C.6): what an Identifier asks for, and what it lacks. Pure rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from services.bridge.errors import RefusedError
from services.dicom import uids
from services.dicom.attributes import keyword_of
from services.dicom.dicom_json import DicomJson, text, texts

IDENTIFIER_MISMATCH: Final = 0xA900
"""The Identifier is not one of the SOP class (PS3.4 Tables C.4-1, C.4-2, C.4-3)."""

_CHARACTER_SET: Final = "00080005"
_LEVEL: Final = "00080052"
_RETRIEVE_AE_TITLE: Final = "00080054"
_NO_KEYS: Final = frozenset((_CHARACTER_SET, _LEVEL, "00080053", _RETRIEVE_AE_TITLE, "00080201"))
"""What an Identifier holds that is never matched: how it is written, at which level and view, for which time zone."""


class Level(StrEnum):
    """Query/Retrieve Level (0008,0052)."""

    PATIENT = "PATIENT"
    STUDY = "STUDY"
    SERIES = "SERIES"
    IMAGE = "IMAGE"


_UNIQUE_KEYS: Final = {
    Level.PATIENT: "00100020",
    Level.STUDY: "0020000D",
    Level.SERIES: "0020000E",
    Level.IMAGE: "00080018",
}


class Operation(StrEnum):
    """What is asked of us."""

    FIND = "find"
    MOVE = "move"
    GET = "get"


@dataclass(frozen=True, slots=True)
class Service:
    """A SOP class of the Query/Retrieve service class (PS3.4 C.6.1.3, C.6.2.3).

    Attributes:
        levels: of its information model, from the top.
    """

    operation: Operation
    levels: tuple[Level, ...]


_PATIENT_ROOT: Final = (Level.PATIENT, Level.STUDY, Level.SERIES, Level.IMAGE)
_STUDY_ROOT: Final = (Level.STUDY, Level.SERIES, Level.IMAGE)

SERVICES: Final[Mapping[str, Service]] = {
    f"1.2.840.10008.5.1.4.1.2.{root}.{number}": Service(operation, levels)
    for root, levels in ((1, _PATIENT_ROOT), (2, _STUDY_ROOT))
    for number, operation in ((1, Operation.FIND), (2, Operation.MOVE), (3, Operation.GET))
}
"""By SOP Class UID."""


@dataclass(frozen=True, slots=True)
class Inquiry:
    """A C-FIND as the archive is asked.

    Attributes:
        keys: name, with the path to it, and value of each key that is to match.
        asked: the Identifier itself: its attributes come back, with values or without.
    """

    level: Level
    keys: tuple[tuple[str, str], ...]
    asked: DicomJson

    @property
    def include(self) -> tuple[str, ...]:
        """The tags that are asked for."""
        return tuple(tag for tag in self.asked if tag not in _NO_KEYS)

    def identifier(self, match: DicomJson, ae_title: str) -> DicomJson:
        """The Identifier of the answer with this match (PS3.4 C.4.1.1.3.2): what was asked for, and where it is."""
        answered = _shaped(match, {tag: element for tag, element in self.asked.items() if tag not in _NO_KEYS})
        answered[_LEVEL] = {"vr": "CS", "Value": [str(self.level)]}
        answered[_RETRIEVE_AE_TITLE] = {"vr": "AE", "Value": [ae_title]}
        return answered


@dataclass(frozen=True, slots=True)
class Retrieval:
    """A C-MOVE or C-GET as the archive is asked; what is not said is empty."""

    level: Level
    patient_id: str = ""
    studies: tuple[str, ...] = ()
    series: tuple[str, ...] = ()
    instances: tuple[str, ...] = ()


def inquiry(asked: DicomJson, service: Service, *, relational: bool) -> Inquiry:
    """Read the Identifier of a C-FIND (PS3.4 C.4.1.1.3.1, C.4.1.2).

    Args:
        relational: relational queries were negotiated (PS3.4 C.5.1.1): the levels above may be left open.

    Raises:
        RefusedError: the level is none of the model's, or a unique key above it is missing.
    """
    level = _level(asked, service)
    if not relational:
        _unique_above(asked, service, level)
    return Inquiry(level, tuple(_keys(asked)), asked)


def retrieval(asked: DicomJson, service: Service, *, relational: bool) -> Retrieval:
    """Read the Identifier of a C-MOVE or C-GET (PS3.4 C.4.2.1.4.1, C.4.2.2); other keys than unique ones are no matter.

    Raises:
        RefusedError: as `inquiry`; or the unique key of the level has no value, or one that names nothing.
    """
    level = _level(asked, service)
    if not relational:
        _unique_above(asked, service, level)
    if not _named(asked, level):
        raise RefusedError(IDENTIFIER_MISMATCH, _UNIQUE_KEYS[level], "the unique key of the level has no value")
    known = {each: _named(asked, each) for each in service.levels if service.levels.index(each) <= _at(service, level)}
    if len(known.get(Level.PATIENT, ())) > 1:
        raise RefusedError(IDENTIFIER_MISMATCH, _UNIQUE_KEYS[Level.PATIENT], "one patient at a time")
    return Retrieval(
        level,
        next(iter(known.get(Level.PATIENT, ())), ""),
        known.get(Level.STUDY, ()),
        known.get(Level.SERIES, ()),
        known.get(Level.IMAGE, ()),
    )


def _level(asked: DicomJson, service: Service) -> Level:
    try:
        level = Level(text(asked, _LEVEL).upper())
    except ValueError:
        raise RefusedError(IDENTIFIER_MISMATCH, _LEVEL, "Query/Retrieve Level is missing or unknown") from None
    if level not in service.levels:
        raise RefusedError(IDENTIFIER_MISMATCH, _LEVEL, "the information model has no such level")
    return level


def _at(service: Service, level: Level) -> int:
    return service.levels.index(level)


def _unique_above(asked: DicomJson, service: Service, level: Level) -> None:
    """A hierarchical operation names one entity at each level above its own (PS3.4 C.4.1.2.1, C.4.2.2.1)."""
    for above in service.levels[: _at(service, level)]:
        values = _named(asked, above)
        if len(values) != 1:
            raise RefusedError(IDENTIFIER_MISMATCH, _UNIQUE_KEYS[above], f"needs one {_word(above)}")


def _named(asked: DicomJson, level: Level) -> tuple[str, ...]:
    """The values of a unique key, as long as each can name an entity."""
    tag = _UNIQUE_KEYS[level]
    values = tuple(filter(None, texts(asked, tag)))
    for value in values:
        wrong = ("*" in value or "?" in value) if level is Level.PATIENT else not uids.is_legal(value)
        if wrong:
            raise RefusedError(IDENTIFIER_MISMATCH, tag, f"not a {_word(level)}")
    return values


def _word(level: Level) -> str:
    return {"PATIENT": "Patient ID", "STUDY": "Study UID", "SERIES": "Series UID", "IMAGE": "SOP Instance UID"}[level]


def _keys(asked: DicomJson, path: str = "") -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for tag, element in asked.items():
        if tag in _NO_KEYS:
            continue
        name = path + (keyword_of(tag) or tag)
        if element["vr"] == "SQ":
            for item in element.get("Value", ())[:1]:  # one item at most (PS3.4 C.2.2.2.6)
                found += _keys(item, f"{name}.")
        elif value := "\\".join(texts(asked, tag)):
            found.append((name, value))
        elif "InlineBinary" in element:
            found.append((name, "?"))  # nothing matches binary values: the archive says so
    return found


def _shaped(match: Mapping[str, Any], asked: Mapping[str, Any]) -> DicomJson:
    """What `asked` names of `match`; with no value where there is none. Of items, what the asked item names."""
    shaped: DicomJson = {}
    for tag, element in asked.items():
        found = match.get(tag)
        if found is None or "BulkDataURI" in found:
            shaped[tag] = {"vr": element["vr"]}
        elif found["vr"] == "SQ" and element.get("Value") and element["Value"][0]:
            items = [_shaped(item or {}, element["Value"][0]) for item in found.get("Value", ())]
            shaped[tag] = {"vr": "SQ", "Value": items}
        else:
            shaped[tag] = found
    return shaped
