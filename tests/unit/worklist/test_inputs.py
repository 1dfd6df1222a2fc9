"""Models that take further series: a prior of the patient, another sequence of the study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from services.chassis.faults import PermanentFault
from services.chassis.principal import Principal
from services.contracts.card import ModelCard
from services.contracts.events import SeriesSettled
from services.selection.cel import compile_rule
from services.worklist import handlers, runs
from services.worklist.errors import MissingInputError, UnfitInputError
from services.worklist.inputs import same_patient
from services.worklist.model import Job, JobState
from services.worklist.ports import Attributes, Candidate, Series
from services.worklist.ups.building import items
from tests.unit.worklist.samples import MemoryJobs, MemoryJournal, card

CT, T1, T2 = {"00080060": "CT"}, {"00080060": "MR", "0008103E": "T1"}, {"00080060": "MR", "0008103E": "T2"}


@dataclass
class Archive:
    """Studies of patients: date, patient, and series with their attributes."""

    studies: dict[str, tuple[str, str, dict[str, Mapping[str, Any]]]] = field(default_factory=dict)
    unsettled: set[str] = field(default_factory=set)
    digests: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)

    def put(self, study: str, date: str, patient: str, **series: Mapping[str, Any]) -> None:
        self.studies[study] = (date, patient, {name.replace("_", "."): tags for name, tags in series.items()})

    async def describe(self, study_instance_uid: str, series_instance_uid: str) -> Series:
        date, patient, series = self.studies[study_instance_uid]
        if series_instance_uid not in series:
            raise PermanentFault("no-such-series", "there is none")
        tags = {"00080020": date, "00080030": "1200", "00100020": patient, **series[series_instance_uid]}
        described = {tag: value if isinstance(value, dict) else {"Value": [value]} for tag, value in tags.items()}
        digest = self.digests.get(series_instance_uid, f"d-{series_instance_uid}")
        size = self.sizes.get(series_instance_uid, 100)
        return Series(described, digest, size, revision=0 if series_instance_uid in self.unsettled else 1)

    async def references(self, study_instance_uid: str, series_instance_uid: str) -> Sequence[tuple[str, str]]:
        return [("1.2", f"{series_instance_uid}.1")]

    async def series_of(self, study_instance_uid: str) -> Sequence[str]:
        return list(self.studies[study_instance_uid][2])

    async def studies_of(self, patient_id: str) -> Sequence[Attributes]:
        return [
            {
                "0020000D": {"Value": [study]},
                "00080020": {"Value": [date]},
                "00080030": {"Value": ["1200"]},
                "00100020": {"Value": [patient]},
            }
            for study, (date, patient, _) in self.studies.items()
        ]

    async def study_of(self, series_instance_uid: str) -> str:
        return next((study for study, (_, _, series) in self.studies.items() if series_instance_uid in series), "")


def candidate(selection: str, *more: dict[str, Any]) -> Candidate:
    model = ModelCard.from_mapping({**card("change", selection=selection).source, "more_inputs": list(more)})
    rules = {one.name: compile_rule(one.selection) for one in model.more_inputs}
    return Candidate(model, compile_rule(selection), more=rules)


PRIOR = candidate('series.Modality == "CT"', {"name": "prior", "from": "earlier-studies"})
OPTIONAL = candidate('series.Modality == "CT"', {"name": "prior", "from": "earlier-studies", "required": False})
BOTH = candidate('series.SeriesDescription == "T1"', {"name": "t2", "selection": 'series.SeriesDescription == "T2"'})


async def settle(
    jobs: MemoryJobs, archive: Archive, model: Candidate, study: str, uid: str, revision: int = 1
) -> MemoryJournal:
    journal = MemoryJournal()
    there = await archive.describe(study, uid)
    settled = SeriesSettled(study, uid, revision, there.digest, there.instances)
    await handlers.select(settled, candidates=[model], archive=archive, jobs=jobs, journal=journal)
    return journal


async def ask(jobs: MemoryJobs, archive: Archive, model: Candidate, study: str, **wish: Any) -> list[Job]:
    return await runs.ask(
        runs.Wish("change", study, **wish),
        principal=Principal("ann"),
        candidates=[model],
        archive=archive,
        jobs=jobs,
        journal=MemoryJournal(),
        dicomweb="http://edge/dicom-web",
    )


def priors(jobs: MemoryJobs) -> list[tuple[str, list[str]]]:
    return [(job.series_instance_uid, [one.series_instance_uid for one in job.inputs]) for job in jobs.jobs.values()]


async def test_the_newest_earlier_study_of_the_same_patient_has_the_prior() -> None:
    archive, jobs = Archive(), MemoryJobs()
    archive.put("1", "20240101", "P", **{"1_1": CT})
    archive.put("2", "20250101", "P", **{"2_1": CT, "2_2": CT, "2_3": {"00080060": "SR"}})
    archive.put("3", "20250601", "Q", **{"3_1": CT})
    archive.put("4", "20260101", "P", **{"4_1": CT})
    archive.put("5", "20270101", "P", **{"5_1": {"00080060": "MR"}})
    archive.sizes["2.2"] = 200
    await settle(jobs, archive, PRIOR, "4", "4.1")
    assert priors(jobs) == [("4.1", ["2.2"])]
    (job,) = jobs.jobs.values()
    assert job.inputs[0].digest == "d-2.2"
    told = items(jobs.items[0].attributes, "InputInformationSequence")
    assert [one["0020000E"]["Value"] for one in told] == [["4.1"], ["2.2"]]
    await settle(jobs, archive, PRIOR, "4", "4.1")
    assert len(jobs.jobs) == 1


async def test_without_a_prior_that_is_needed_nothing_runs_and_the_log_says_what_is_lacking() -> None:
    archive, jobs = Archive(), MemoryJobs()
    archive.put("4", "20260101", "P", **{"4_1": CT})
    journal = await settle(jobs, archive, PRIOR, "4", "4.1")
    assert not jobs.jobs
    assert journal.lines[-1][1]["lacking"] == {"change": ["prior"]}
    with pytest.raises(MissingInputError, match=r"prior \(of an earlier study of the patient\).*--input prior=SERIES"):
        await ask(jobs, archive, PRIOR, "4")
    await settle(jobs, archive, OPTIONAL, "4", "4.1")
    assert priors(jobs) == [("4.1", [])]


async def test_a_prior_that_comes_late_brings_the_job_and_a_newer_one_a_newer_job() -> None:
    archive, jobs = Archive(), MemoryJobs()
    archive.put("4", "20260101", "P", **{"4_1": CT})
    await settle(jobs, archive, PRIOR, "4", "4.1")
    archive.put("2", "20250101", "P", **{"2_1": CT})
    await settle(jobs, archive, PRIOR, "2", "2.1")
    assert priors(jobs) == [("4.1", ["2.1"])]
    archive.put("1", "20240101", "P", **{"1_1": CT})  # older than what is there: it is the prior of 2 alone
    await settle(jobs, archive, PRIOR, "1", "1.1")
    assert priors(jobs)[1:] == [("2.1", ["1.1"])]
    archive.put("3", "20250601", "P", **{"3_1": CT})
    await settle(jobs, archive, PRIOR, "3", "3.1")
    old, _, own, newer = jobs.jobs.values()
    assert (own.series_instance_uid, newer.series_instance_uid, newer.run) == ("3.1", "4.1", 1)
    assert (old.state, newer.supersedes) == (JobState.CANCELLED, old.id)
    assert old.reason == "another series for an input made a new job"
    archive.digests["3.1"] = "more"  # the prior grows
    await settle(jobs, archive, PRIOR, "3", "3.1", revision=2)
    newest = [job for job in jobs.jobs.values() if job.series_instance_uid == "4.1"][-1]
    assert (newest.run, newest.inputs[0].digest) == (2, "more")


async def test_two_series_of_a_study_run_once_both_are_whole_whichever_settles_last() -> None:
    for last in ("1.1", "1.2"):
        archive, jobs = Archive(), MemoryJobs()
        archive.put("1", "20260101", "P", **{"1_1": T1, "1_2": T2})
        (first,) = {"1.1", "1.2"} - {last}
        archive.unsettled = {last}
        await settle(jobs, archive, BOTH, "1", first)
        assert not jobs.jobs
        archive.unsettled = set()
        await settle(jobs, archive, BOTH, "1", last)
        assert priors(jobs) == [("1.1", ["1.2"])]


async def test_a_person_chooses_and_may_not_choose_another_patient() -> None:
    archive, jobs = Archive(), MemoryJobs()
    archive.put("1", "20240101", "P", **{"1_1": CT, "1_2": {"00080060": "MR"}})
    archive.put("2", "20250101", "P", **{"2_1": CT})
    archive.put("3", "20260101", "P", **{"3_1": CT})
    archive.put("9", "20200101", "Q", **{"9_1": CT})
    (by_rule,) = await ask(jobs, archive, PRIOR, "3")
    (chosen,) = await ask(jobs, archive, PRIOR, "3", inputs={"prior": "1.2"})
    (again,) = await ask(jobs, archive, PRIOR, "3", inputs={"prior": "1.2"})
    assert [one.series_instance_uid for one in by_rule.inputs] == ["2.1"]
    assert ([one.series_instance_uid for one in chosen.inputs], chosen.run, again.id) == (["1.2"], 1, chosen.id)
    for inputs, why in (
        ({"prior": "9.1"}, "not of the same patient"),
        ({"prior": "3.1"}, "the one that the model runs on"),
        ({"prior": "7.7"}, "no such series"),
        ({"later": "1.1"}, "no input later: it has prior"),
    ):
        with pytest.raises(UnfitInputError, match=why):
            await ask(jobs, archive, PRIOR, "3", inputs=inputs)


async def test_a_series_that_is_named_for_an_input_goes_beside_another_one_of_the_study() -> None:
    archive, jobs = Archive(), MemoryJobs()
    archive.put("1", "20260101", "P", **{"1_1": CT, "1_2": CT})
    (job,) = await ask(jobs, archive, PRIOR, "1", inputs={"prior": "1.2"})
    assert priors(jobs) == [("1.1", ["1.2"])] and job.study_instance_uid == "1"


async def test_nobody_without_an_id_or_with_another_birth_date_has_earlier_studies() -> None:
    archive, jobs = Archive(), MemoryJobs()
    archive.put("1", "20240101", "", **{"1_1": CT})
    archive.put("2", "20250101", "", **{"2_1": CT})
    await settle(jobs, archive, PRIOR, "2", "2.1")
    assert not jobs.jobs
    one, other = ({"00100020": {"Value": ["P"]}, "00100030": {"Value": [born]}} for born in ("19500101", "19600101"))
    assert not same_patient(one, other)
    assert same_patient(one, {"00100020": {"Value": ["P"]}})


async def test_a_patient_who_cannot_be_searched_for_costs_the_series_no_other_model() -> None:
    class Strict(Archive):
        async def studies_of(self, patient_id: str) -> Sequence[Attributes]:
            raise PermanentFault("invalid-query", "the value of a key is not valid for it")

    archive, jobs, journal = Strict(), MemoryJobs(), MemoryJournal()
    archive.put("4", "20260101", "P", **{"4_1": CT})
    plain = Candidate(card("plain"), compile_rule("true"))
    settled = SeriesSettled("4", "4.1", 1, "d-4.1", 100)
    await handlers.select(settled, candidates=[PRIOR, plain], archive=archive, jobs=jobs, journal=journal)
    assert [job.model for job in jobs.jobs.values()] == ["plain"]
    assert ("studies.not_found", {"code": "invalid-query"}) in journal.lines
