"""Which further series a model takes beside the one that it runs on: by the rules of its card, or as somebody says."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import NamedTuple

from services.chassis.faults import PermanentFault
from services.contracts.card import CardInput, InputFrom
from services.contracts.events import InputSeries
from services.selection.errors import RuleFailedError
from services.worklist.errors import UnfitInputError
from services.worklist.ports import Attributes, Candidate, Journal, Rule, Series, SeriesArchive
from services.worklist.results import maker_of
from services.worklist.ups.building import first
from services.worklist.ups.making import Input

_MOST_STUDIES = 10
"""So many studies of a patient are looked into, the nearest first."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a model gets beside a series.

    Attributes:
        series: of each input that was found, in the card's order.
        described: the same for its work item.
        missing: the inputs that the model needs and that are not there.
        named: the inputs whose series somebody chose.
    """

    series: tuple[InputSeries, ...] = ()
    described: tuple[Input, ...] = ()
    missing: tuple[CardInput, ...] = ()
    named: tuple[str, ...] = ()


class Found(NamedTuple):
    """A series that can be taken."""

    study: str
    uid: str
    series: Series


async def choose(
    candidate: Candidate,
    main: Input,
    *,
    archive: SeriesArchive,
    journal: Journal,
    named: Mapping[str, str] | None = None,
) -> Chosen:
    """The further series for a model on the series `main`.

    Of the series that a rule selects it takes one that has settled: of the nearest study, there the one with the most
    instances, then with the lowest Series Number. No series stands for two inputs.

    Args:
        named: series by the names of inputs, which somebody chose whatever the rules say; "" for none.

    Raises:
        UnfitInputError: a series that somebody chose cannot be taken.
    """
    named = named or {}
    _known(candidate, named)
    found: dict[str, Found] = {}
    for one in candidate.card.more_inputs:
        if one.name in named and not named[one.name]:
            if one.required:
                raise UnfitInputError(f"{candidate.card.name} cannot do without {one.name}")
            continue
        if one.name in named:
            found[one.name] = await _as_said(one.name, named[one.name], main, archive)
            continue
        taken = {main.series_instance_uid, *named.values(), *(each.uid for each in found.values())}
        best = await _best(one, candidate.more[one.name], main, taken, archive=archive, journal=journal)
        if best is not None:
            found[one.name] = best
    return Chosen(
        tuple(InputSeries(name, each.study, each.uid, each.series.digest) for name, each in found.items()),
        tuple([await _described(each, archive) for each in found.values()]),
        tuple(one for one in candidate.card.more_inputs if one.required and one.name not in found),
        tuple(one.name for one in candidate.card.more_inputs if one.name in named),
    )


async def takers(
    candidates: Sequence[Candidate], arrived: Input, series: Series, *, archive: SeriesArchive, journal: Journal
) -> AsyncIterator[tuple[Candidate, Input, Series, Chosen]]:
    """The series on which a model can run, or runs otherwise, because the series `arrived` is there now."""
    for candidate in candidates:
        sources = {
            one.source
            for one in candidate.card.more_inputs
            if selects(candidate.more[one.name], series, candidate.card.name, journal)
        }
        studies = [arrived.study_instance_uid] if InputFrom.SAME_STUDY in sources else []
        if InputFrom.EARLIER_STUDIES in sources:
            studies += await _others(arrived, archive, journal, later=True)
        for study in studies:
            for uid in await archive.series_of(study):
                if uid == arrived.series_instance_uid:
                    continue
                there = await _settled(study, uid, archive)
                if there is None or not selects(candidate.rule, there, candidate.card.name, journal):
                    continue
                main = Input(study, uid, there.attributes)
                chosen = await choose(candidate, main, archive=archive, journal=journal)
                if not chosen.missing and any(
                    one.series_instance_uid == arrived.series_instance_uid for one in chosen.series
                ):
                    yield candidate, main, there, chosen


def the_main_one(name: str) -> str:
    """Why a series cannot be taken for an input."""
    return f"the series for {name} is the one that the model runs on"


def _known(candidate: Candidate, named: Mapping[str, str]) -> None:
    names = [one.name for one in candidate.card.more_inputs]
    if strange := sorted(set(named) - set(names)):
        has = f"it has {', '.join(names)}" if names else "it takes one series"
        raise UnfitInputError(f"{candidate.card.name} has no input {', '.join(strange)}: {has}")
    series = [uid for uid in named.values() if uid]
    if len(set(series)) < len(series):
        raise UnfitInputError("one series is chosen for two inputs: each takes another one")


async def _as_said(name: str, uid: str, main: Input, archive: SeriesArchive) -> Found:
    if uid == main.series_instance_uid:
        raise UnfitInputError(the_main_one(name))
    study = await archive.study_of(uid)
    if not study:
        raise UnfitInputError(f"there is no such series for {name}")
    series = await archive.describe(study, uid)
    if study != main.study_instance_uid and not same_patient(main.attributes, series.attributes):
        raise UnfitInputError(f"the series for {name} is not of the same patient")
    return Found(study, uid, series)


async def _best(
    wanted: CardInput, rule: Rule, main: Input, taken: set[str], *, archive: SeriesArchive, journal: Journal
) -> Found | None:
    async with aclosing(fitting(wanted, rule, main, archive=archive, journal=journal)) as found:
        async for each in found:
            if each.uid not in taken:
                return each
    return None


async def fitting(
    wanted: CardInput, rule: Rule, main: Input, *, archive: SeriesArchive, journal: Journal
) -> AsyncGenerator[Found]:
    """The series that fit an input beside the series `main`, the best first; see `choose`."""
    match wanted.source:
        case InputFrom.SAME_STUDY:
            studies: Sequence[str] = [main.study_instance_uid]
        case InputFrom.EARLIER_STUDIES:
            studies = await _others(main, archive, journal, later=False)
    for study in studies:
        found = []
        for uid in await archive.series_of(study):
            series = await _settled(study, uid, archive) if uid != main.series_instance_uid else None
            if series is not None and selects(rule, series, wanted.name, journal):
                found.append(Found(study, uid, series))
        for each in sorted(found, key=_order):
            yield each


def _order(found: Found) -> tuple[int, int, str]:
    number = first(found.series.attributes, "SeriesNumber")
    return -found.series.instances, int(number) if number.lstrip("+-").isdigit() else 1 << 31, found.uid


async def _settled(study: str, uid: str, archive: SeriesArchive) -> Series | None:
    """A series that is whole; what still comes, is gone, or was made by a job of ours is none."""
    try:
        series = await archive.describe(study, uid)
    except PermanentFault:
        return None
    return series if series.revision and not maker_of(series.attributes) else None


async def _others(of: Input, archive: SeriesArchive, journal: Journal, *, later: bool) -> list[str]:
    """The earlier or the later studies of the patient, the nearest first; one whose date is not known is neither."""
    own, patient = _moment(of.attributes), first(of.attributes, "PatientID")
    if not patient or not own[0]:
        return []
    try:
        studies = await archive.studies_of(patient)
    except PermanentFault as fault:  # an ID that cannot be searched for must not cost the series its other models
        journal.warning("studies.not_found", code=fault.code)
        return []
    found = [
        (_moment(study), uid)
        for study in studies
        if (uid := first(study, "StudyInstanceUID")) != of.study_instance_uid
        and same_patient(of.attributes, study)
        and _is_before(*((own, _moment(study)) if later else (_moment(study), own)))
    ]
    return [uid for _, uid in sorted(found, reverse=not later)][:_MOST_STUDIES]


def same_patient(one: Attributes, other: Attributes) -> bool:
    """Whether two series are of one patient: by Patient ID and its issuer; birth dates that differ tell them apart."""
    born = {first(each, "PatientBirthDate") for each in (one, other)} - {""}
    ids = {(first(each, "PatientID").strip(), first(each, "IssuerOfPatientID").strip()) for each in (one, other)}
    return len(ids) == 1 and all(patient for patient, _ in ids) and len(born) < 2


def _moment(attributes: Attributes) -> tuple[str, str]:
    return first(attributes, "StudyDate"), first(attributes, "StudyTime")


def _is_before(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Whether a study is before another one; of one day, only where both say their time."""
    if not one[0] or not other[0] or one[0] != other[0]:
        return bool(one[0]) and bool(other[0]) and one[0] < other[0]
    return bool(one[1]) and bool(other[1]) and one[1] < other[1]


def selects(rule: Rule, series: Series, model: str, journal: Journal) -> bool:
    """Whether a rule holds for a series; one that fails does not, and the log says whose."""
    try:
        return rule.selects(series.attributes, series.instances)
    except RuleFailedError as error:
        journal.warning("rule.failed", model=model, error=error.kind)
        return False


async def _described(found: Found, archive: SeriesArchive) -> Input:
    references = await archive.references(found.study, found.uid)
    return Input(found.study, found.uid, found.series.attributes, references)
