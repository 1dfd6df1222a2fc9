"""Work items as values: what the mesh makes of its jobs is what the standard asks of everybody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from services.contracts.events import LeftOut, Result
from services.dicom.dicom_json import DicomJson
from services.dicom.matching import Wildcard
from services.worklist.adapters.notifications import _offer
from services.worklist.api import notifications
from services.worklist.model import Job, JobState, Priority
from services.worklist.ups import checking, following, reports, states
from services.worklist.ups.building import dataset, first, items, moment_of
from services.worklist.ups.item import StepState, WorkItem
from services.worklist.ups.making import Input, item_of, results_of
from services.worklist.ups.matching import Conditions, exactly, matches, parse_filter
from services.worklist.ups.refusals import WorkItemRefusedError
from services.worklist.ups.searching import parse_search
from services.worklist.ups.table import ROWS, Row
from tests.unit.worklist.samples import SERIES, STUDY, card, job, later

RESULTS = (
    Result("SEG", STUDY, "1.9", "1.9.1", "1.2.840.10008.5.1.4.1.1.66.4"),
    Result("SR", STUDY, "1.8", "1.8.1", "1.2.840.10008.5.1.4.1.1.88.33"),
)
PATIENT: DicomJson = dataset(PatientName="Doe^Jane", PatientID="7", PatientSex="F", AccessionNumber="A1")


def item(of: Job | None = None, name: str = "ct-lung") -> WorkItem:
    return item_of(
        of or job(state=JobState.WAITING),
        card(name),
        Input(STUDY, SERIES, PATIENT, [("1.2", "1.3")]),
        "http://e",
        later(0),
    )


def follow(before: WorkItem, of: Job) -> list[WorkItem]:
    return list(following.follow(before, of, later(9), transaction_uid="1.7", dicomweb="http://e"))


def test_a_work_item_of_ours_lacks_nothing_that_the_table_asks_for() -> None:
    made = item(job(state=JobState.WAITING, deadline=later(60), priority=Priority.HIGH))
    _, modified = checking.to_create(made.attributes | dataset(TransactionUID=""))
    assert not modified
    assert first(made.attributes, "ScheduledProcedureStepPriority") == "HIGH"
    assert first(made.attributes, "ScheduledProcedureStepExpirationDateTime") == "20261121120100.000"
    assert first(made.attributes, "PatientName") == "Doe^Jane"
    (request,) = items(made.attributes, "ReferencedRequestSequence")
    assert (first(request, "AccessionNumber"), first(request, "StudyInstanceUID")) == ("A1", STUDY)


def test_the_code_of_a_model_with_a_long_name_is_a_long_code() -> None:
    (code,) = items(item(name="a-model-of-a-long-name").attributes, "ScheduledWorkitemCodeSequence")
    assert first(code, "LongCodeValue") == "a-model-of-a-long-name"
    assert "00080100" not in code


@pytest.mark.parametrize("end", [JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED])
@pytest.mark.parametrize("begun", [False, True])
def test_however_a_job_ends_its_work_item_ends_by_the_state_machine_with_what_that_asks_for(
    end: JobState, begun: bool
) -> None:
    before = item()
    if begun:
        before = follow(before, job())[-1]
    results = RESULTS if end is JobState.COMPLETED else ()
    steps = follow(before, job(state=end, finished_at=later(9), reason="it failed", reason_code="x", results=results))
    path = [before.state, *(step.state for step in steps)]
    allowed = {
        (StepState.SCHEDULED, StepState.IN_PROGRESS),
        (StepState.IN_PROGRESS, StepState.IN_PROGRESS),
        (StepState.IN_PROGRESS, StepState.COMPLETED),
        (StepState.IN_PROGRESS, StepState.CANCELED),
    }
    assert set(pairwise(path)) <= allowed
    checking.to_end(steps[-1], path[-1])
    assert path[-1] is (StepState.COMPLETED if end is JobState.COMPLETED else StepState.CANCELED)
    assert results_of(steps[-1]) == results
    assert follow(steps[-1], job(state=JobState.COMPLETED, results=RESULTS)) == []


def test_what_could_not_be_made_beside_the_results_is_a_comment_on_what_was_done() -> None:
    left_out = (LeftOut("GSPS", "not-carried", "a slide cannot carry a GSPS, so there is none"),)
    done = follow(item(), job(state=JobState.COMPLETED, finished_at=later(9), results=RESULTS, left_out=left_out))[-1]
    checking.to_end(done, StepState.COMPLETED)
    (performed,) = items(done.attributes, "UnifiedProcedureStepPerformedProcedureSequence")
    said = first(performed, "CommentsOnThePerformedProcedureStep")
    assert said == "without GSPS: a slide cannot carry a GSPS, so there is none"


def test_progress_is_told_once_for_each_change() -> None:
    claimed, told = follow(item(), job(step="infer", done=1, total=2))
    assert (
        first(items(told.attributes, "ProcedureStepProgressInformationSequence")[0], "ProcedureStepProgress") == "58.3"
    )
    assert follow(told, job(step="infer", done=1, total=2)) == []
    assert [report.type.name for report in reports.between(claimed, told)] == ["PROGRESS"]


def test_another_priority_of_a_waiting_job_is_in_its_work_item() -> None:
    (step,) = follow(item(), job(state=JobState.WAITING, priority=Priority.HIGH))
    assert (step.state, first(step.attributes, "ScheduledProcedureStepPriority")) == (StepState.SCHEDULED, "HIGH")


def test_a_retry_is_a_new_work_item_that_names_the_old_one() -> None:
    ended = follow(item(), job(state=JobState.FAILED, finished_at=later(9)))[-1]
    again = following.succeed(ended, job(attempt=2), later(10))
    assert (again.state, again.uid == ended.uid) == (StepState.SCHEDULED, False)
    (replaced,) = items(again.attributes, "ReplacedProcedureStepSequence")
    assert first(replaced, "ReferencedSOPInstanceUID") == ended.uid
    assert items(again.attributes, "ProcedureStepProgressInformationSequence") == []


def test_who_has_the_key_and_who_has_not() -> None:
    claimed = states.change_state(item(), "IN PROGRESS", "1.5", later(1)).steps[-1]
    assert claimed.transaction_uid == "1.5"
    assert "1.5" not in str(claimed.attributes)
    with pytest.raises(WorkItemRefusedError):
        states.update(claimed, {}, "1.6", later(2))
    with pytest.raises(WorkItemRefusedError) as refused:
        states.change_state(claimed, "ASLEEP", "1.5", later(2))
    assert refused.value.status == 400


def test_every_code_of_the_table_is_one_that_is_explained() -> None:
    def walk(rows: tuple[Row, ...]) -> Any:
        for row in rows:
            yield row
            yield from walk(row.rows)

    every = list(walk(ROWS))
    assert len(every) == 79
    assert {row.create for row in every} == set("123EXCS")
    assert {row.set for row in every} == {"1", "3", "X", "S"}
    assert {row.final for row in every} == set("RPXNKO")


@pytest.mark.parametrize(
    ("query", "holds"),
    [
        ("PatientName=doe*", True),
        ("PatientName=DOE^JANE", True),
        ("PatientSex=M", False),
        ("PatientID=7&StudyInstanceUID=1.2.3,9", True),
        ('PatientBirthDate=""', True),
        ("ScheduledProcedureStepStartDateTime=20261121-20261122", True),
        ("ScheduledProcedureStepStartDateTime=-20261120", False),
        ("ReferencedRequestSequence.AccessionNumber=A?", True),
        ("InputInformationSequence=", True),
    ],
)
def test_a_work_item_matches_what_is_asked_for(query: str, holds: bool) -> None:
    search = parse_search([(name, value) for name, _, value in (pair.partition("=") for pair in query.split("&"))])
    assert matches(item().attributes, search.conditions) is holds
    narrow = exactly(search.conditions)
    assert "00100010" not in narrow


def test_a_filter_narrows_by_what_it_names_exactly() -> None:
    conditions = parse_filter("ScheduledWorkitemCodeSequence.CodeValue=ct-lung, ProcedureStepState=SCHEDULED")
    assert exactly(conditions) == {
        "00404018": {"Value": [{"00080100": {"Value": ["ct-lung"]}}]},
        "00741000": {"Value": ["SCHEDULED"]},
    }
    assert matches(item().attributes, conditions)
    assert not matches(replace(item(), attributes={}).attributes, conditions)


@pytest.mark.parametrize(
    ("text", "offset", "found"),
    [
        ("20261121120000.5+0100", "", "2026-11-21T11:00:00.500000+00:00"),
        ("20261121120000", "-0500", "2026-11-21T17:00:00+00:00"),
        ("2026112112", "", "2026-11-21T12:00:00+00:00"),
        ("2026", "", "2026-01-01T00:00:00+00:00"),
        ("20261121235960", "", "2026-11-21T23:59:59+00:00"),
        ("soon", "", ""),
        ("20261321", "", ""),
        ("20261121120000", "+9999", ""),
        ("00010101000000+1400", "", ""),
    ],
)
def test_a_moment_is_read_as_it_is_meant_or_not_at_all(text: str, offset: str, found: str) -> None:
    moment = moment_of(text, offset)
    assert (moment.isoformat() if moment else "") == found


@pytest.mark.parametrize(
    ("pattern", "text", "like"),
    [("*", "", True), ("a*b?d", "axxbcd", True), ("a*b?d", "axxbd", False), ("*ab*ab", "abab", True), ("?", "", False)],
)
def test_wild_cards_are_matched_as_the_standard_has_them(pattern: str, text: str, like: bool) -> None:
    conditions: Conditions = {("00400400",): Wildcard(pattern)}
    assert matches({"00400400": {"vr": "LT", "Value": [text]}}, conditions) == like


async def test_a_listener_that_does_not_read_is_let_go() -> None:
    queue: asyncio.Queue[Any] = asyncio.Queue(3)
    for number in range(4):
        _offer(queue, {"number": number})
    assert queue.get_nowait() is None


async def test_a_client_that_keeps_its_line_and_reads_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifications, "_PATIENCE_SECONDS", 0.01)

    class Deaf:
        async def send_text(self, text: str) -> None:
            await asyncio.Event().wait()

    async def told() -> AsyncIterator[DicomJson]:
        yield {}

    await notifications._tell(Deaf(), told())  # type: ignore[arg-type]  # all that it uses
