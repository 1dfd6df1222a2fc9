"""The use cases, on fakes."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from services.chassis.log import Log
from services.chassis.principal import Principal
from services.contracts.events import AuditRecorded, InstancesStored
from services.dicom import uids
from services.dicom.part10 import parse_instance
from services.ingest.handlers import settling
from services.ingest.handlers import storing as handlers
from services.ingest.intake import Arrival
from services.ingest.model import Announced, Outcome, Quiet, Verdict
from services.store.errors import IndexUnavailable
from services.store.memory import MemoryObjects
from services.store.model import series_digest
from tests.unit.ingest.fakes import FakeBook, FakeLedger, FakeTally
from tests.unit.ingest.made import made

LOG = Log("test")


async def store(
    file: bytes,
    objects: MemoryObjects,
    ledger: FakeLedger,
    announced: Announced = Announced(),  # noqa: B008  # frozen
    max_bytes: int = 10**6,
) -> Verdict:
    arrival = Arrival(objects.draft(), announced, max_bytes=max_bytes)
    for at in range(0, len(file), 4096):
        await arrival.write(file[at : at + 4096])
    return await handlers.store(
        arrival,
        delivery=uuid4(),
        principal=Principal.local("127.0.0.1"),
        objects=objects,
        ledger=ledger,
        tally=FakeTally(),
        log=LOG,
    )


@pytest.fixture
def objects() -> MemoryObjects:
    return MemoryObjects()


@pytest.fixture
def ledger() -> FakeLedger:
    return FakeLedger()


async def test_a_good_instance_is_stored_and_said(objects: MemoryObjects, ledger: FakeLedger) -> None:
    file = made()
    parsed = parse_instance(file)

    verdict = await store(file, objects, ledger)

    assert (verdict.outcome, verdict.status, verdict.code) == (Outcome.STORED, 0, "")
    assert verdict.sop_instance_uid == parsed.sop_instance_uid
    assert list(objects.objects.values()) == [file]
    said, audit = ledger.said
    assert isinstance(said, InstancesStored) and list(said.digests) == list(objects.objects)
    assert isinstance(audit, AuditRecorded)
    assert (audit.caller, audit.action, audit.outcome, audit.source) == ("local", "store", "success", "127.0.0.1")


async def test_storing_twice_is_storing_once(objects: MemoryObjects, ledger: FakeLedger) -> None:
    file = made()
    await store(file, objects, ledger)

    verdict = await store(file, objects, ledger)

    assert verdict.outcome is Outcome.UNCHANGED
    assert verdict.kept
    assert len([event for event in ledger.said if isinstance(event, InstancesStored)]) == 1


async def test_other_bytes_under_the_same_uid_are_kept_as_evidence(objects: MemoryObjects, ledger: FakeLedger) -> None:
    uid = uids.new_uid()
    await store(made(SOPInstanceUID=uid), objects, ledger)

    verdict = await store(made(SOPInstanceUID=uid), objects, ledger)

    assert (verdict.outcome, verdict.status, verdict.code) == (Outcome.KEPT_FIRST, 0xB000, "kept-first")
    assert verdict.kept
    assert len(objects.objects) == 2


@pytest.mark.parametrize(
    ("announced", "code"),
    [
        (Announced(sop_class_uid="1.2.3"), "sop-class-mismatch"),
        (Announced(sop_instance_uid="1.2.3"), "sop-instance-mismatch"),
        (Announced(study_instance_uid="1.2.3"), "study-mismatch"),
    ],
)
async def test_an_instance_that_is_not_what_was_announced_is_refused(
    objects: MemoryObjects, ledger: FakeLedger, announced: Announced, code: str
) -> None:
    verdict = await store(made(), objects, ledger, announced)

    assert (verdict.outcome, verdict.status, verdict.code) == (Outcome.REFUSED, 0xA900, code)
    assert not objects.objects
    (audit,) = ledger.said
    assert isinstance(audit, AuditRecorded)
    assert (audit.outcome, audit.reason_code) == ("refused", code)


async def test_a_refusal_names_the_uids_that_could_be_read(objects: MemoryObjects, ledger: FakeLedger) -> None:
    file = made()

    verdict = await store(file, objects, ledger, Announced(study_instance_uid="1.2.3"))

    assert verdict.sop_instance_uid == parse_instance(file).sop_instance_uid


async def test_an_instance_larger_than_allowed_is_refused_and_its_bytes_are_let_go(
    objects: MemoryObjects, ledger: FakeLedger
) -> None:
    verdict = await store(made(side=100), objects, ledger, max_bytes=10_000)

    assert (verdict.outcome, verdict.status, verdict.code) == (Outcome.REFUSED, 0xA700, "too-large")
    assert not objects.objects


async def test_a_full_object_store_is_unavailable_and_nothing_is_written(
    objects: MemoryObjects, ledger: FakeLedger
) -> None:
    objects.full = True

    verdict = await store(made(), objects, ledger)

    assert (verdict.outcome, verdict.status) == (Outcome.UNAVAILABLE, 0xA700)
    assert verdict.code == "objects-unavailable"
    assert not ledger.said


async def test_an_index_that_is_away_is_unavailable_also_for_what_would_be_refused(
    objects: MemoryObjects, ledger: FakeLedger
) -> None:
    ledger.fails_with = IndexUnavailable("ConnectionRefusedError")

    assert (await store(made(), objects, ledger)).outcome is Outcome.UNAVAILABLE
    assert (await store(b"nonsense", objects, ledger)).outcome is Outcome.UNAVAILABLE


async def test_our_own_stumble_is_a_processing_failure_of_that_instance_alone(
    objects: MemoryObjects, ledger: FakeLedger
) -> None:
    ledger.fails_with = ValueError("a text that may quote Muster^Maria")

    verdict = await store(made(), objects, ledger)

    assert (verdict.outcome, verdict.status, verdict.code) == (Outcome.REFUSED, 0x0110, "internal")
    assert "Muster" not in verdict.reason


def quiet(*instances: tuple[str, str], revision: int = 0, digest: str = "") -> Quiet:
    return Quiet("1.2", "1.3", revision, digest, instances, {})


async def test_a_quiet_series_settles_with_the_next_revision() -> None:
    book = FakeBook(quiet(("1.4", "a" * 64), ("1.5", "b" * 64), revision=2, digest="c" * 64))

    assert await settling.settle_next(book=book, tally=FakeTally(), log=LOG)

    (fact,) = book.claims[0].settled
    assert fact is not None
    assert (fact.revision, fact.instances) == (3, 2)
    assert fact.digest == series_digest([("1.4", "a" * 64), ("1.5", "b" * 64)])


async def test_the_set_that_settled_last_is_not_said_again() -> None:
    same = series_digest([("1.4", "a" * 64)])
    book = FakeBook(quiet(("1.4", "a" * 64), revision=1, digest=same))

    assert await settling.settle_next(book=book, tally=FakeTally(), log=LOG)

    assert book.claims[0].settled == [None]


async def test_nothing_quiet_is_nothing_to_do() -> None:
    assert not await settling.settle_next(book=FakeBook(), tally=FakeTally(), log=LOG)


async def test_settling_goes_on_when_the_index_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "_WAIT_AFTER_FAULT_SECONDS", 0.01)
    book, stopping = FakeBook(quiet(("1.4", "a" * 64))), asyncio.Event()
    book.away = True
    running = asyncio.create_task(settling.settle_forever(stopping, book=book, tally=FakeTally(), log=LOG))
    await asyncio.sleep(0.05)
    assert book.claims[0].settled == []

    book.away = False
    while not book.claims[0].settled:
        await asyncio.sleep(0.01)
    stopping.set()
    await running


async def test_every_verdict_is_counted(objects: MemoryObjects, ledger: FakeLedger) -> None:
    tally = FakeTally()
    for file in (made(), b"nonsense"):
        arrival = Arrival(objects.draft(), Announced(), max_bytes=10**6)
        await arrival.write(file)
        await handlers.store(
            arrival,
            delivery=uuid4(),
            principal=Principal.local(),
            objects=objects,
            ledger=ledger,
            tally=tally,
            log=LOG,
        )

    assert tally.outcomes == [Outcome.STORED, Outcome.REFUSED]
