"""Results sent on: to whom, in which order, how often, and what is told of it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import pytest
from pynetdicom.sop_class import EncapsulatedPDFStorage, SegmentationStorage  # type: ignore[attr-defined]

from services.bridge.destinations import rules
from services.bridge.draining import Drain
from services.bridge.errors import UnheldError, UnreachableError
from services.bridge.exchanging import Place, Recipient
from services.bridge.information import Retrieval
from services.bridge.outlets import Parcel
from services.bridge.sending import Dispatch, Queued, Sending
from services.bridge.subscriptions import sending_subscriptions
from services.chassis.faults import PassingFault
from services.chassis.hearing import Delivery
from services.chassis.log import Log
from services.chassis.principal import Principal
from services.contracts import subjects
from services.contracts.events import AuditRecorded, JobCompleted, Result, ResultsDue

EXPLICIT = "1.2.840.10008.1.2.1"
CLASSES = {"SEG": str(SegmentationStorage), "PDF": str(EncapsulatedPDFStorage)}
DATA = b"\x08\x00\x16\x00UI\x1c\x001.2.840.10008.5.1.4.1.1.66.4"


def completed(*kinds: str) -> JobCompleted:
    made = (Result(kind, "1.1", f"1.2.{no}", f"1.3.{no}", CLASSES[kind]) for no, kind in enumerate(kinds, 1))
    return JobCompleted("job-1", tuple(made))


def due(*kinds: str, to: str = "PACS") -> ResultsDue:
    return ResultsDue("job-1", to, completed(*kinds).results)


class Shelf:
    """A library that has results, and gives them in an order of its own."""

    def __init__(self, results: Sequence[Result]) -> None:
        self.results = {result.sop_instance_uid: result for result in results}

    async def locate(self, retrieval: Retrieval, principal: Principal) -> list[Place]:
        found = [self.results[uid] for uid in reversed(retrieval.instances) if uid in self.results]
        return [
            Place(one.study_instance_uid, one.series_instance_uid, one.sop_instance_uid, one.sop_class_uid, EXPLICIT, 9)
            for one in found
        ]

    async def file(self, place: Place, principal: Principal, *, to: Recipient | None = None) -> AsyncGenerator[bytes]:
        yield DATA


class Pacs:
    """An outlet that answers with its statuses in turn, the last one for ever; a fault among them is raised."""

    def __init__(self, *statuses: int | Exception | None) -> None:
        self.statuses = list(statuses)
        self.taken: list[str] = []
        self.read_for: list[Recipient | None] = []

    def recipient(self) -> Recipient:
        return Recipient("PACS", "192.0.2.7")

    @asynccontextmanager
    async def open(self, places: Sequence[Place]) -> AsyncIterator[Pacs]:
        yield self

    async def hand_in(self, parcel: Parcel) -> int | None:
        self.read_for.append(parcel.to)
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if isinstance(status, Exception):
            raise status
        if status == 0:
            self.taken.append(parcel.place.sop_instance_uid)
        return status


class Said:
    """A bus that keeps what is said, each message once."""

    def __init__(self) -> None:
        self.messages: dict[str | None, Any] = {}

    async def say(self, event: Any, *, message_id: str | None = None) -> None:
        self.messages.setdefault(message_id, event)

    @property
    def told(self) -> list[tuple[str, str, str, int]]:
        """Outcome, reason, destination and number of the audit records."""
        records = [one for one in self.messages.values() if isinstance(one, AuditRecorded)]
        assert {one.action for one in records} <= {"transfer-out"}
        assert all(re.fullmatch(r"[0-9a-f]{32}", one.record_id) for one in records)  # as `audit` takes it
        return [(one.outcome, one.reason_code, one.destination, one.instances) for one in records]


def sending(pacs: Pacs, *kinds: str) -> tuple[Sending, Said]:
    said, library = Said(), Shelf(completed(*kinds).results)
    outlets: Any = {"PACS": pacs}
    clock = count(0.0, 60.0).__next__  # between two looks at it a minute goes by
    return Sending(outlets, library=library, events=said, log=Log("bridge"), clock=clock), said  # type: ignore[arg-type]


async def test_each_destination_that_wants_a_result_has_one_message_in_a_queue_of_its_own() -> None:
    said = Said()
    url = "https://pacs.example/dicom-web"
    dispatch = Dispatch(rules(f"PACS=SEG, {url}=*, MWL=KO"), queues=said)
    for _ in range(2):
        await dispatch.hear(completed("SEG", "PDF"))
    queued: list[Queued] = list(said.messages.values())
    assert [(one.subject, one.due.destination, [r.kind for r in one.due.results]) for one in queued] == [
        (subjects.RESULT_QUEUES[0], "PACS", ["SEG"]),
        (subjects.RESULT_QUEUES[1], url, ["SEG", "PDF"]),
    ]
    assert ResultsDue.from_bytes(queued[1].to_bytes()) == queued[1].due
    assert queued[1].schema == "plexus.events.v1.ResultsDue"


async def test_results_arrive_in_the_order_in_which_they_were_made_and_the_log_says_to_whom() -> None:
    pacs = Pacs(0)
    sender, said = sending(pacs, "SEG", "PDF", "SEG")
    await sender.send(due("SEG", "PDF", "SEG"), "m")
    assert pacs.taken == ["1.3.1", "1.3.2", "1.3.3"]
    assert [to.name for to in pacs.read_for if to] == ["PACS"] * 3  # the archive's record of each says to whom
    assert said.told == [("success", "", "PACS", 3)]


async def test_what_was_taken_before_the_destination_went_away_is_not_sent_again() -> None:
    pacs = Pacs(0, None, UnreachableError("peer-busy"), 0)
    sender, said = sending(pacs, "SEG", "PDF")
    for _ in range(2):
        with pytest.raises(UnreachableError):
            await sender.send(due("SEG", "PDF"), "m")
    assert said.told == []
    await sender.send(due("SEG", "PDF"), "m")
    assert pacs.taken == ["1.3.1", "1.3.2"]
    assert said.told == [("success", "", "PACS", 2)]


async def test_a_destination_without_room_is_asked_again() -> None:
    sender, said = sending(Pacs(0xA701), "SEG")
    with pytest.raises(PassingFault, match="no room"):
        await sender.send(due("SEG"), "m")
    assert said.told == []


@pytest.mark.parametrize("status", [0xB000, 0xB007, 0x0107, 0x0116, 0x0111])
async def test_a_warning_and_the_answer_that_it_is_there_already_are_successes(status: int) -> None:
    sender, said = sending(Pacs(status), "SEG")
    await sender.send(due("SEG"), "m")
    assert said.told == [("success", "", "PACS", 1)]


@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        (0xC000, "peer-refused-result"),
        (0x0122, "peer-takes-no-such-class"),
        (UnheldError("peer-forbids", "no"), "peer-forbids"),
    ],
)
async def test_a_result_that_is_refused_keeps_none_of_the_others_back(refusal: int | Exception, code: str) -> None:
    pacs = Pacs(0, refusal, 0)
    sender, said = sending(pacs, "SEG", "PDF", "SEG")
    with pytest.raises(UnheldError) as fault:
        await sender.send(due("SEG", "PDF", "SEG"), "m")
    assert fault.value.code == code
    assert pacs.taken == ["1.3.1", "1.3.3"]
    await sender.give_up(due("SEG", "PDF", "SEG"), "m", fault.value)
    assert said.told == [("success", "", "PACS", 2), ("failure", code, "PACS", 1)]


async def test_a_refused_result_and_one_that_was_taken_need_no_other_try_when_the_destination_comes_back() -> None:
    pacs = Pacs(0, 0xC000, None, 0)
    sender, said = sending(pacs, "SEG", "PDF", "SEG")
    with pytest.raises(UnreachableError):
        await sender.send(due("SEG", "PDF", "SEG"), "m")
    sender._library.results.pop("1.3.1")  # type: ignore[attr-defined]  # deleted after it has arrived: no matter
    with pytest.raises(UnheldError, match="C000"):
        await sender.send(due("SEG", "PDF", "SEG"), "m")
    assert len(pacs.read_for) == 4
    assert said.told == [("success", "", "PACS", 2)]


async def test_the_log_says_to_whom_of_which_job_and_why_and_no_uid(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "plexus.bridge")
    sender, _ = sending(Pacs(0xC000, UnreachableError("peer-busy", "not now"), 0), "SEG", "PDF")
    with pytest.raises(UnreachableError):
        await sender.send(due("SEG", "PDF"), "m")
    with pytest.raises(UnheldError) as fault:
        await sender.send(due("SEG", "PDF"), "m")
    await sender.give_up(due("SEG", "PDF"), "m", fault.value)
    lines = [(record.getMessage(), getattr(record, "fields", {})) for record in caplog.records]
    refused = {"code": "peer-refused-result", "reason": "the peer refused a result with status C000"}
    who = {"peer": "PACS", "job_id": "job-1"}
    assert lines == [
        ("results.refused", {**who, **refused, "kind": "SEG"}),
        ("results.not_sent", {**who, "code": "peer-busy", "reason": "not now"}),
        ("results.sent", {**who, "instances": 1}),
        ("results.given_up", {**who, **refused, "instances": 1}),
    ]


async def test_a_destination_that_is_found_away_is_left_alone_for_a_moment_by_all_that_wait_for_it() -> None:
    now, pacs = [100.0], Pacs(UnreachableError("peer-unreachable"), 0)
    outlets: Any = {"PACS": pacs}
    library: Any = Shelf(completed("SEG").results)
    sender = Sending(outlets, library=library, events=Said(), log=Log("bridge"), clock=lambda: now[0])
    for message in ("m", "n", "o"):
        with pytest.raises(UnreachableError) as fault:
            await sender.send(due("SEG"), message)
        assert fault.value.code == "peer-unreachable"
    assert len(pacs.read_for) == 1
    now[0] += 2.0
    await sender.send(due("SEG"), "n")
    assert pacs.taken == ["1.3.1"]


def test_a_destination_may_be_away_over_a_weekend_and_what_waits_for_it_is_given_up_before_the_bus_forgets_it() -> None:
    sender, said = sending(Pacs(0), "SEG")
    queue = sending_subscriptions(Dispatch(rules("PACS=*"), queues=said), sender, Drain(asyncio.Event(), seconds=1))[1]
    assert queue.tries is not None
    waited = sum(min(0.5 * 2 ** min(attempt, 16), queue.slowest_seconds) for attempt in range(1, queue.tries))
    assert 64 * 3600 < waited < subjects.HOSPITAL.max_age_seconds / 2


async def test_what_a_job_made_anew_is_another_message() -> None:
    said = Said()
    dispatch = Dispatch(rules("PACS=*"), queues=said)
    await dispatch.hear(completed("SEG"))
    await dispatch.hear(completed("PDF"))
    assert len(said.messages) == 2


async def test_a_result_that_was_deleted_is_not_waited_for_and_the_others_arrive() -> None:
    pacs = Pacs(0)
    sender, _ = sending(pacs, "SEG")
    with pytest.raises(UnheldError, match="no longer"):
        await sender.send(due("SEG", "PDF"), "m")
    assert pacs.taken == ["1.3.1"]


async def test_what_no_rule_names_any_more_is_kept_aside() -> None:
    sender, said = sending(Pacs(0), "SEG")
    with pytest.raises(UnheldError) as fault:
        await sender.send(due("SEG", to="ELSEWHERE"), "m")
    await sender.give_up(due("SEG", to="ELSEWHERE"), "m", fault.value)
    assert said.told == [("failure", "destination-not-in-rules", "ELSEWHERE", 1)]


async def test_a_message_sent_again_by_an_operator_sends_all_of_it_again() -> None:
    pacs = Pacs(0)
    sender, said = sending(pacs, "SEG")
    for message in ("m", "m.again"):
        await sender.send(due("SEG"), message)
    assert pacs.taken == ["1.3.1", "1.3.1"]
    assert len(said.told) == 2


async def test_every_queue_is_heard_in_order_and_what_cannot_be_read_is_given_up_quietly() -> None:
    sender, said = sending(Pacs(0), "SEG")
    heard = sending_subscriptions(Dispatch(rules("PACS=*"), queues=said), sender, Drain(asyncio.Event(), seconds=1))
    assert [one.subject for one in heard] == [subjects.JOB_COMPLETED, *subjects.RESULT_QUEUES]
    assert {one.concurrency for one in heard} == {1}
    await heard[0].handle(Delivery("", completed("SEG").to_bytes(), "", 1))
    (queued,) = said.messages.values()
    await heard[1].handle(Delivery("", queued.to_bytes(), "m", 1))
    assert said.told == [("success", "", "PACS", 1)]
    junk = Delivery("", b"\xff\xff", "m", 1)
    with pytest.raises(UnheldError) as fault:
        await heard[1].handle(junk)
    assert heard[1].failed is not None
    await heard[1].failed(junk, fault.value)
    assert len(said.told) == 1
