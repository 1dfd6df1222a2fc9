"""Models that take further series: a prior of the patient, another sequence of the study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from services.chassis.faults import PermanentFault
from services.chassis.principal import Principal
from services.contracts.card import ModelCard
from services.contracts.events import AuditRecorded, SeriesSettled
from services.selection.cel import compile_rule
from services.worklist import handlers, runs
from services.worklist.errors import MissingInputError, UnfitInputError
from services.worklist.inputs import same_patient
from services.worklist.model import Job, JobState, Priority
from services.worklist.offering import offers
from services.worklist.ports import Attributes, Candidate, Jobs, Series
from services.worklist.turns import Rules
from services.worklist.ups.building import first, items, moment_of
from services.worklist.ups.item import WorkItem
from services.worklist.ups.making import Input
from tests.unit.worklist.samples import MemoryJobs, MemoryJournal, card

CT, T1, T2 = {"00080060": "CT"}, {"00080060": "MR", "0008103E": "T1"}, {"00080060": "MR", "0008103E": "T2"}


@dataclass
class Archive:
    """Studies of patients: date, patient, and series with their attributes."""

    studies: dict[str, tuple[str, str, dict[str, Mapping[str, Any]]]] = field(default_factory=dict)
    unsettled: set[str] = field(default_factory=set)
    digests: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    revisions: dict[str, int] = field(default_factory=dict)

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
        revision = self.revisions.get(series_instance_uid, 1)
        return Series(described, digest, size, revision=0 if series_instance_uid in self.unsettled else revision)

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


def candidate(selection: str, *more: dict[str, Any], **told: Any) -> Candidate:
    model = ModelCard.from_mapping({**card("change", selection=selection).source, "more_inputs": list(more), **told})
    rules = {one.name: compile_rule(one.selection) for one in model.more_inputs}
    return Candidate(model, compile_rule(selection), more=rules)


PRIOR = candidate('series.Modality == "CT"', {"name": "prior", "from": "earlier-studies"})
OPTIONAL = candidate('series.Modality == "CT"', {"name": "prior", "from": "earlier-studies", "required": False})
BOTH = candidate('series.SeriesDescription == "T1"', {"name": "t2", "selection": 'series.SeriesDescription == "T2"'})


async def settle(
    jobs: Jobs, archive: Archive, model: Candidate, study: str, uid: str, revision: int = 1
) -> MemoryJournal:
    journal = MemoryJournal()
    archive.revisions[uid] = revision
    there = await archive.describe(study, uid)
    settled = SeriesSettled(study, uid, revision, there.digest, there.instances)
    await handlers.select(settled, candidates=[model], archive=archive, jobs=jobs, journal=journal)
    return journal


async def ask(jobs: Jobs, archive: Archive, model: Candidate, study: str, **wish: Any) -> list[Job]:
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
        ({"prior": "1.1", "later": "1.1"}, "no input later"),
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


TWO = candidate(
    'series.Modality == "CT"',
    {"name": "first", "selection": 'series.Modality == "MR"'},
    {"name": "second", "selection": 'series.Modality == "MR"', "required": False},
)


async def offered(archive: Archive, model: Candidate, study: str, uid: str) -> list[Any]:
    return await offers(
        model,
        Input(study, uid, (await archive.describe(study, uid)).attributes),
        archive=archive,
        journal=MemoryJournal(),
    )


async def test_what_fits_an_input_is_offered_the_one_that_is_taken_first() -> None:
    archive, jobs = Archive(), MemoryJobs()
    archive.put("1", "20240101", "P", **{"1_1": CT, "1_2": CT})
    archive.put("2", "20250101", "P", **{"2_1": CT, "2_2": {"00080060": "MR"}})
    archive.put("3", "20260101", "P", **{"3_1": CT})
    archive.sizes["1.2"] = 200
    (offer,) = await offered(archive, PRIOR, "3", "3.1")
    assert ([each.uid for each in offer.series], offer.taken, offer.note) == (["2.1", "1.2", "1.1"], "2.1", "")
    (job,) = await ask(jobs, archive, PRIOR, "3")
    assert job.inputs[0].series_instance_uid == offer.taken


async def test_a_series_that_one_input_takes_is_offered_last_for_another_and_stands_for_one_alone() -> None:
    archive, jobs = Archive(), MemoryJobs()
    archive.put("1", "20260101", "P", **{"1_1": CT, "1_2": T1, "1_3": T2})
    first, second = await offered(archive, TWO, "1", "1.1")
    assert ([each.uid for each in first.series], first.taken) == (["1.2", "1.3"], "1.2")
    assert ([each.uid for each in second.series], second.taken) == (["1.3", "1.2"], "1.3")
    with pytest.raises(UnfitInputError, match="one series is chosen for two inputs"):
        await ask(jobs, archive, TWO, "1", inputs={"first": "1.2", "second": "1.2"})
    (swapped,) = await ask(jobs, archive, TWO, "1", inputs={"first": "1.3", "second": "1.2"})
    assert [one.series_instance_uid for one in swapped.inputs] == ["1.3", "1.2"]


async def test_where_nothing_fits_the_offer_says_so_in_words() -> None:
    archive = Archive()
    archive.put("3", "20260101", "P", **{"3_1": CT})
    (needed,) = await offered(archive, PRIOR, "3", "3.1")
    (optional,) = await offered(archive, OPTIONAL, "3", "3.1")
    assert needed.series == optional.series == []
    why = "no prior (of an earlier study of the patient) is there that has settled and that its rule selects"
    assert (needed.note, optional.note) == (why, f"{why}: it runs without")


async def _compared() -> tuple[Archive, MemoryJobs, Job, Job]:
    """A study whose rule took the newer prior, and for which a person chose the older one; both are completed."""
    archive, jobs = Archive(), MemoryJobs()
    archive.put("1", "20240101", "P", **{"1_1": CT})
    archive.put("2", "20250101", "P", **{"2_1": CT})
    archive.put("4", "20260101", "P", **{"4_1": CT})
    await settle(jobs, archive, PRIOR, "4", "4.1")
    await ask(jobs, archive, PRIOR, "4", inputs={"prior": "1.1"})
    for each in jobs.jobs.values():
        jobs.jobs[each.id] = replace(each, state=JobState.COMPLETED)
    by_rule, by_hand = jobs.jobs.values()
    return archive, jobs, by_rule, by_hand


async def test_what_a_person_chose_and_what_the_rule_chooses_lie_beside_each_other() -> None:
    archive, jobs, by_rule, by_hand = await _compared()
    assert (by_rule.chosen, by_hand.chosen, by_hand.supersedes) == ((), ("prior",), "")
    archive.put("3", "20250601", "P", **{"3_1": CT})
    await settle(jobs, archive, PRIOR, "3", "3.1")  # a newer prior: the rule's result is replaced, the person's stays
    newer = next(each for each in jobs.jobs.values() if each.inputs[0].series_instance_uid == "3.1")
    assert (newer.supersedes, newer.chosen) == (by_rule.id, ())
    assert jobs.jobs[by_hand.id] == by_hand
    (again,) = await ask(jobs, archive, PRIOR, "4", inputs={"prior": "1.1"}, force=True)
    assert again.supersedes == by_hand.id


async def test_a_choice_that_is_in_work_is_not_stopped_by_a_rule() -> None:
    archive, jobs = Archive(), MemoryJobs()
    archive.put("1", "20240101", "P", **{"1_1": CT})
    archive.put("4", "20260101", "P", **{"4_1": CT})
    (chosen,) = await ask(jobs, archive, PRIOR, "4", inputs={"prior": "1.1"})
    archive.put("2", "20250101", "P", **{"2_1": CT})
    await settle(jobs, archive, PRIOR, "2", "2.1")
    assert jobs.jobs[chosen.id].state is JobState.WAITING
    assert [job.inputs[0].series_instance_uid for job in jobs.jobs.values() if job.study_instance_uid == "4"] == [
        "1.1",
        "2.1",
    ]


async def test_a_rule_that_finds_what_a_person_chose_makes_it_no_second_time() -> None:
    archive, jobs = Archive(), MemoryJobs()
    archive.put("1", "20240101", "P", **{"1_1": CT})
    archive.put("4", "20260101", "P", **{"4_1": CT})
    (chosen,) = await ask(jobs, archive, PRIOR, "4", inputs={"prior": "1.1"})
    await settle(jobs, archive, PRIOR, "4", "4.1")
    assert len(jobs.jobs) == 1
    jobs.jobs[chosen.id] = replace(chosen, state=JobState.CANCELLED, reason_code="cancelled")
    await settle(jobs, archive, PRIOR, "4", "4.1")
    assert [job.chosen for job in jobs.jobs.values()] == [("prior",), ()]


async def test_who_chooses_what_a_rule_had_chosen_keeps_it_when_a_newer_prior_comes() -> None:
    archive, jobs, by_rule, _ = await _compared()
    (kept,) = await ask(jobs, archive, PRIOR, "4", inputs={"prior": "2.1"})
    assert (kept.id, kept.chosen) == (by_rule.id, ("prior",))
    archive.put("3", "20250601", "P", **{"3_1": CT})
    await settle(jobs, archive, PRIOR, "3", "3.1")
    newer = next(each for each in jobs.jobs.values() if each.inputs[0].series_instance_uid == "3.1")
    assert newer.supersedes == ""
    (plain,) = await ask(jobs, archive, PRIOR, "4")
    assert plain.id == newer.id


async def test_late_instances_bring_what_a_person_chose_once_more() -> None:
    archive, jobs, by_rule, by_hand = await _compared()
    archive.digests["4.1"] = "more"
    for _ in range(2):  # said twice
        await settle(jobs, archive, PRIOR, "4", "4.1", revision=2)
    made = list(jobs.jobs.values())[2:]
    assert [(job.supersedes, job.chosen, job.revision) for job in made] == [
        (by_hand.id, ("prior",), 2),
        (by_rule.id, (), 2),
    ]
    assert made[0].inputs[0].series_instance_uid == "1.1"


async def test_the_same_prior_chosen_and_made_again_replaces_what_the_rule_made_of_it() -> None:
    archive, jobs, by_rule, by_hand = await _compared()
    (again,) = await ask(jobs, archive, PRIOR, "4", inputs={"prior": "2.1"}, force=True)
    assert (again.supersedes, again.chosen) == (by_rule.id, ("prior",))
    jobs.jobs[again.id] = replace(again, state=JobState.COMPLETED)
    archive.digests["4.1"] = "more"
    await settle(jobs, archive, PRIOR, "4", "4.1", revision=2)
    made = [job.supersedes for job in jobs.jobs.values() if job.revision == 2]
    assert made == [again.id, by_hand.id], "both choices; the rule's is that of the first"


async def test_a_choice_that_was_cancelled_or_is_gone_is_not_made_again() -> None:
    for lost in ("cancelled", "gone"):
        archive, jobs, _, by_hand = await _compared()
        if lost == "cancelled":
            jobs.jobs[by_hand.id] = replace(by_hand, state=JobState.CANCELLED, reason_code="cancelled")
        else:
            del archive.studies["1"]
        archive.digests["4.1"] = "more"
        journal = await settle(jobs, archive, PRIOR, "4", "4.1", revision=2)
        assert [job.chosen for job in list(jobs.jobs.values())[2:]] == [()]
        assert any(line[0] == "choice.left" for line in journal.lines) == (lost == "gone")


async def test_a_run_that_a_person_asks_for_has_the_revision_of_its_series() -> None:
    archive, jobs = Archive(), MemoryJobs()
    archive.put("1", "20240101", "P", **{"1_1": CT})
    (job,) = await ask(jobs, archive, OPTIONAL, "1")
    assert job.revision == 1


async def test_a_rule_says_how_urgent_and_when_and_who_asks_need_not_wait() -> None:
    archive, jobs = Archive(), MemoryJobs()
    archive.put("1", "20240101", "P", **{"1_1": CT})
    hour = (handlers.now() + timedelta(hours=2)).strftime("%H:00")
    until = (handlers.now() + timedelta(hours=3)).strftime("%H:00")
    night = candidate("true", priority="low", schedule={"from": hour, "until": until})
    await settle(jobs, archive, night, "1", "1.1")
    (job,) = jobs.jobs.values()
    assert job.priority is Priority.LOW and job.not_before is not None
    start = items_moment(jobs.items[0])
    assert start == job.not_before and start.strftime("%H:00") == hour
    rules = Rules(4, timedelta(hours=1))
    assert await handlers.admit(handlers.now(), rules=rules, jobs=jobs) == []
    (asked,) = await ask(jobs, archive, night, "1")
    assert (asked.id, asked.not_before, asked.priority) == (job.id, None, Priority.MEDIUM)
    (admitted,) = await handlers.admit(handlers.now(), rules=rules, jobs=jobs)
    assert admitted.id == job.id


def items_moment(item: WorkItem) -> datetime | None:
    return moment_of(first(item.attributes, "ScheduledProcedureStepStartDateTime"))


async def test_who_asks_for_what_waits_already_hurries_it_and_nobody_slows_it() -> None:
    archive, jobs = Archive(), MemoryJobs()
    archive.put("1", "20240101", "P", **{"1_1": CT})
    await settle(jobs, archive, OPTIONAL, "1", "1.1")
    (hurried,) = await ask(jobs, archive, OPTIONAL, "1", priority=Priority.HIGH)
    (same,) = await ask(jobs, archive, OPTIONAL, "1", priority=Priority.LOW)
    assert len(jobs.jobs) == 1
    assert (hurried.priority, same.priority) == (Priority.HIGH, Priority.HIGH)
    assert [fact.detail for fact, _ in jobs.said if isinstance(fact, AuditRecorded)][-1] == "hurried"


async def test_a_person_may_want_none_where_the_model_can_do_without() -> None:
    archive, jobs = Archive(), MemoryJobs()
    archive.put("1", "20240101", "P", **{"1_1": CT})
    archive.put("4", "20260101", "P", **{"4_1": CT})
    await settle(jobs, archive, OPTIONAL, "4", "4.1")
    (without,) = await ask(jobs, archive, OPTIONAL, "4", inputs={"prior": ""})
    (same,) = await ask(jobs, archive, OPTIONAL, "4", inputs={"prior": ""})
    assert (without.inputs, without.chosen, without.id) == ((), ("prior",), same.id)
    archive.digests["4.1"] = "more"
    await settle(jobs, archive, OPTIONAL, "4", "4.1", revision=2)
    newest = [(job.chosen, len(job.inputs)) for job in jobs.jobs.values() if job.revision == 2]
    assert newest == [(("prior",), 0), ((), 1)]
    with pytest.raises(UnfitInputError, match="change cannot do without prior"):
        await ask(jobs, archive, PRIOR, "4", inputs={"prior": ""})


async def test_a_chosen_series_that_grows_brings_what_it_was_chosen_for_once_more() -> None:
    archive, jobs, by_rule, by_hand = await _compared()
    archive.digests["1.1"] = "more"
    for _ in range(2):  # said twice
        await settle(jobs, archive, PRIOR, "1", "1.1", revision=2)
    _, _, made = (job for job in jobs.jobs.values() if job.study_instance_uid == "4")
    assert (made.supersedes, made.chosen, made.inputs[0].digest) == (by_hand.id, ("prior",), "more")
    assert jobs.jobs[by_rule.id] == by_rule
    jobs.jobs[made.id] = replace(made, state=JobState.CANCELLED, reason_code="cancelled")
    archive.digests["1.1"] = "still more"
    await settle(jobs, archive, PRIOR, "1", "1.1", revision=3)
    assert len([job for job in jobs.jobs.values() if job.study_instance_uid == "4"]) == 3
