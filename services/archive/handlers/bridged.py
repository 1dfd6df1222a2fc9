"""What DIMSE peers ask through the bridge (PS3.4 C and J): queries, what a retrieval names, what is held durably.

Matching and answers are those of QIDO-RS: one archive gives one answer, whichever way it is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from services.archive.errors import TooManyInstances
from services.archive.handlers.recording import recorded
from services.archive.handlers.search import search
from services.archive.model import Resource
from services.archive.ports import Events, Holdings, Index, Objects
from services.archive.searching import parse_search
from services.chassis.principal import Principal
from services.contracts.events import Action
from services.dicom.attributes import keyword_of, tag_of
from services.dicom.dicom_json import DicomJson, loads, select, text
from services.dicom.matching import AnyOf, Condition
from services.store.errors import ObjectMissing
from services.store.holdings import Holding
from services.store.model import Found, InstanceRow, Level, Query

MOST_INSTANCES: Final = 65_535
"""What the counts of a retrieval can tell (US, PS3.7 9.1.4)."""

_PATIENT: Final = frozenset(
    tag
    for keyword in (
        *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientBirthTime", "PatientSex"),
        *("OtherPatientIDs", "OtherPatientIDsSequence", "OtherPatientNames", "EthnicGroup", "PatientComments"),
        *("PatientSpeciesDescription", "SpecificCharacterSet"),
    )
    if (tag := tag_of(keyword))
)
"""What tells of a patient (PS3.4 C.6.1.1.2); the other attributes of a study row are the study's."""
_COUNTED: Final = frozenset(("00201200", "00201202", "00201204"))
"""Numbers of Patient Related Studies, Series and Instances."""
_AT_ONCE: Final = 16


class Rank(StrEnum):
    """A level of the Patient Root model (PS3.4 C.6.1.1)."""

    PATIENT = "patient"
    STUDY = "study"
    SERIES = "series"
    IMAGE = "image"


_LEVELS: Final = {
    # A patient is what its studies say of it.
    Rank.PATIENT: Level.STUDY,
    Rank.STUDY: Level.STUDY,
    Rank.SERIES: Level.SERIES,
    Rank.IMAGE: Level.INSTANCE,
}


@dataclass(frozen=True, slots=True)
class Inquiry:
    """A C-FIND.

    Attributes:
        keys: name (keyword or tag, with the path to it) and value of each that is to match.
        include: tags that are asked for.
    """

    rank: Rank
    keys: tuple[tuple[str, str], ...] = ()
    include: frozenset[str] = field(default=frozenset())


@dataclass(frozen=True, slots=True)
class Matches:
    """What answers a C-FIND; `warnings` say what was passed over, `more` that there are others."""

    found: list[DicomJson]
    warnings: tuple[str, ...]
    more: bool


async def find(asked: Inquiry, *, max_results: int, index: Index, events: Events, caller: Principal) -> Matches:
    """Answer a query (PS3.4 C.4.1.3).

    Raises:
        InvalidQuery: the value of a key is not valid for it.
    """
    parameters = [*asked.keys, *(("includefield", tag) for tag in sorted(asked.include))]
    wanted = parse_search(_LEVELS[asked.rank], parameters, max_results=max_results)
    page = await search(wanted, "", index=index, events=events, caller=caller)
    if asked.rank is Rank.PATIENT:
        below = [keyword_of(tag) or tag for tag in asked.include if tag not in _PATIENT | _COUNTED]
        warnings = (*wanted.warnings, *(f"the key {name} is not of the patient level" for name in sorted(below)))
        found = patients(page.results)
    else:
        warnings, found = tuple(wanted.warnings), _ordered(page.results, asked.rank)
    keys = {tag for name, _ in asked.keys if (tag := tag_of(name.partition(".")[0]))}
    return Matches([select(each, asked.include | keys) for each in found], warnings, page.more)


def _ordered(found: list[DicomJson], rank: Rank) -> list[DicomJson]:
    """Series of one study, and images of one series, by their numbers, as a station lists them."""
    match rank:
        case Rank.SERIES if len({text(each, "StudyInstanceUID") for each in found}) == 1:
            return sorted(found, key=lambda each: _number(each, "SeriesNumber"))
        case Rank.IMAGE if len({text(each, "SeriesInstanceUID") for each in found}) == 1:
            return sorted(found, key=lambda each: _number(each, "InstanceNumber"))
        case _:
            return found


def _number(found: DicomJson, keyword: str) -> tuple[bool, int]:
    try:
        return False, int(text(found, keyword))
    except ValueError:
        return True, 0


def patients(studies: Iterable[DicomJson]) -> list[DicomJson]:
    """Bring studies together by Patient ID and its issuer; the newest study tells of the patient (PS3.4 C.3.4)."""
    of_patient: dict[tuple[str, ...], list[DicomJson]] = {}
    for study in studies:
        identity = text(study, "PatientID"), text(study, "IssuerOfPatientID")
        # Without an ID, only what has the same name and birth date may be taken for the same person.
        key = identity if identity[0] else ("", text(study, "PatientName"), text(study, "PatientBirthDate"))
        of_patient.setdefault(key, []).append(study)
    return [
        select(group[0], _PATIENT)
        | {
            "00201200": {"vr": "IS", "Value": [len(group)]},
            "00201202": {"vr": "IS", "Value": [_total(group, "NumberOfStudyRelatedSeries")]},
            "00201204": {"vr": "IS", "Value": [_total(group, "NumberOfStudyRelatedInstances")]},
        }
        for group in of_patient.values()
    ]


def _total(studies: Iterable[DicomJson], keyword: str) -> int:
    return sum(int(text(study, keyword) or 0) for study in studies)


@dataclass(frozen=True, slots=True)
class Named:
    """What a C-MOVE or C-GET names by its unique keys; the levels above may be left out (relational retrieval).

    Raises:
        IllegalUid: one of them is no UID.
    """

    rank: Rank
    patient_id: str = ""
    studies: tuple[str, ...] = ()
    series: tuple[str, ...] = ()
    instances: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for uid in (*self.studies, *self.series, *self.instances):
            Resource(uid)


async def locate(
    named: Named, *, index: Index, holdings: Holdings, events: Events, caller: Principal
) -> list[InstanceRow | Holding]:
    """Find the instances that a retrieval names; none of them is an answer too (PS3.4 C.4.2.3).

    Raises:
        TooManyInstances: more than a retrieval can count.
    """
    resource = Resource(named.studies[0], *named.series[:1]) if len(named.studies) == 1 else None
    async with recorded(Action.QUERY, resource, "instances", events=events, caller=caller) as tally:
        rows = await _located(named, index=index, holdings=holdings)
        tally.instances = len(rows)
    return rows


async def _located(named: Named, *, index: Index, holdings: Holdings) -> list[InstanceRow | Holding]:
    studies = set(named.studies)
    if named.patient_id:
        studies = await _studies_of(named, index=index)
        if not studies:
            return []
    rows: list[InstanceRow | Holding] = []
    if named.rank is Rank.IMAGE:
        held = await holdings.held(named.instances)
        rows += (
            held[uid]
            for uid in dict.fromkeys(named.instances)
            if uid in held
            and (not studies or held[uid].study_instance_uid in studies)
            and (not named.series or held[uid].series_instance_uid in named.series)
        )
        return rows
    for study, series in await _series_of(named, studies, index=index):
        rows += await index.series_instances(study, series)
        if len(rows) > MOST_INSTANCES:
            raise TooManyInstances
    return rows


async def _studies_of(named: Named, *, index: Index) -> set[str]:
    """The studies of the patient, or those of them that are named. An ID is compared as it is, case and all."""
    conditions: dict[str, Condition] = {"PatientID": AnyOf((named.patient_id,))}
    if named.studies:
        conditions["StudyInstanceUID"] = AnyOf(named.studies)
    found = await index.search(Query(Level.STUDY, conditions=conditions, limit=MOST_INSTANCES + 1))
    return {
        each.study.study_instance_uid
        for each in found
        if each.study is not None and text(loads(each.study.attributes), "PatientID") == named.patient_id
    }


async def _series_of(named: Named, studies: set[str], *, index: Index) -> list[tuple[str, str]]:
    if named.rank is Rank.SERIES and not studies:
        conditions: dict[str, Condition] = {"SeriesInstanceUID": AnyOf(named.series)}
        found: Sequence[Found] = await index.search(
            Query(Level.SERIES, conditions=conditions, limit=MOST_INSTANCES + 1)
        )
        return [(row.study_instance_uid, row.series_instance_uid) for each in found if (row := each.series) is not None]
    return [
        (study, row.series_instance_uid)
        for study in sorted(studies)
        for row in await index.study_series(study)
        if named.rank is not Rank.SERIES or row.series_instance_uid in named.series
    ]


class Held(StrEnum):
    """Whether an instance is safe here."""

    HELD = "held"
    ABSENT = "absent"
    OTHER_CLASS = "other-class"
    DAMAGED = "damaged"


async def check(
    references: Sequence[tuple[str, str]],
    *,
    holdings: Holdings,
    objects: Objects,
    events: Events,
    caller: Principal,
) -> list[Held]:
    """Say of each (SOP class, SOP instance) whether it is held durably: committed to the index, its bytes whole.

    Raises:
        IndexUnavailable, ObjectsUnavailable: it cannot be said now.
    """
    async with recorded(Action.QUERY, None, "commitment", events=events, caller=caller) as tally:
        held = await holdings.held([sop_instance_uid for _, sop_instance_uid in references])
        limit = asyncio.Semaphore(_AT_ONCE)

        async def judged(sop_class_uid: str, holding: Holding | None) -> Held:
            if holding is None:
                return Held.ABSENT
            if holding.sop_class_uid != sop_class_uid:
                return Held.OTHER_CLASS
            async with limit:
                return Held.HELD if await _is_whole(holding, objects) else Held.DAMAGED

        answers = await asyncio.gather(*(judged(of_class, held.get(uid)) for of_class, uid in references))
        tally.instances = len(references)
    return list(answers)


async def _is_whole(holding: Holding, objects: Objects) -> bool:
    """Look whether the last byte is there, and is the last: the disk may have lost what the index remembers."""
    try:
        return len(await objects.read(holding.digest, holding.size - 1, 2)) == 1
    except ObjectMissing:
        return False
