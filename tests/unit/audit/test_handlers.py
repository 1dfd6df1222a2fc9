"""Recording, reading, verifying, on a log in memory."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from httpx import ASGITransport, AsyncClient, Response

from services.audit import api, handlers, model
from services.audit.errors import LogUnavailableError
from services.audit.model import Break, Entry, Flaw, Head, LogQuery
from services.chassis.health import Health
from services.chassis.http import create_app
from services.chassis.log import Log
from services.chassis.principal import Principal
from services.contracts.events import AuditRecorded


class MemoryWalk:
    def __init__(self, entries: Sequence[Entry], head: Head) -> None:
        self._entries = entries
        self.head = head
        self.guarded = True

    async def batches(self) -> AsyncIterator[Sequence[Entry]]:
        for start in range(0, len(self._entries), 2):
            yield self._entries[start : start + 2]


class MemoryLedger:
    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.head = Head()
        self.available = True

    async def append(self, record_id: str, record: bytes) -> None:
        if not self.available:
            raise LogUnavailableError
        if record_id not in {entry.index.record_id for entry in self.entries}:
            self.entries += model.extend(self.head, [record])
            self.head = Head(self.entries[-1].seq, self.entries[-1].hash)

    async def find(self, query: LogQuery) -> Sequence[Entry]:
        return [entry for entry in reversed(self.entries) if entry.seq < (query.after or 2**63)][: query.limit]

    @asynccontextmanager
    async def walk(self) -> AsyncIterator[MemoryWalk]:
        yield MemoryWalk(self.entries, self.head)


def recorded(number: int) -> AuditRecorded:
    return AuditRecorded(
        f"{number:032x}", "2026-11-21T12:00:00Z", "archive", "retrieve", "success", study_instance_uid="1.2.3"
    )


async def filled(records: int) -> MemoryLedger:
    ledger = MemoryLedger()
    for number in range(records):
        await handlers.record(recorded(number), ledger=ledger)
    return ledger


async def ask(path: str, ledger: MemoryLedger) -> Response:
    app = create_app("audit", health=Health(), log=Log("test"), routers=[api.router(ledger=ledger)])
    async with AsyncClient(transport=ASGITransport(app), base_url="http://audit") as client:
        return await client.get(path)


async def test_a_record_that_comes_twice_is_kept_once() -> None:
    ledger = await filled(2)
    await handlers.record(recorded(1), ledger=ledger)
    assert len(ledger.entries) == 2


async def test_reading_the_log_is_in_the_log_with_who_and_how_many() -> None:
    ledger = await filled(3)
    found = await handlers.read(LogQuery(study_instance_uid="1.2.3"), principal=Principal("ann"), ledger=ledger)
    reading = json.loads(ledger.entries[-1].record)
    assert len(found) == 3
    assert (reading["action"], reading["caller"], reading["instances"], reading["study_instance_uid"]) == (
        "audit-read",
        "ann",
        3,
        "1.2.3",
    )


async def test_a_log_that_cannot_record_the_reading_is_not_read() -> None:
    ledger = await filled(3)
    ledger.available = False
    with pytest.raises(LogUnavailableError):
        await handlers.read(LogQuery(), principal=Principal("ann"), ledger=ledger)
    reply = await ask("/audit", ledger)
    assert reply.status_code == 503
    assert "1.2.3" not in reply.text


async def test_an_untouched_log_is_verified_to_its_head() -> None:
    ledger = await filled(5)
    head = ledger.head
    verdict = await handlers.verify(principal=Principal("ann"), ledger=ledger)
    assert (verdict.records, verdict.head, verdict.broken) == (5, head.hash, None)


async def test_records_cut_off_at_the_end_are_found_by_the_head() -> None:
    ledger = await filled(5)
    del ledger.entries[3:]
    verdict = await handlers.verify(principal=Principal("ann"), ledger=ledger)
    assert verdict.broken == Break(4, Flaw.HEAD)


async def test_the_first_record_that_does_not_hold_is_named() -> None:
    ledger = await filled(5)
    del ledger.entries[2]
    reply = (await ask("/audit/verify", ledger)).json()
    assert (reply["intact"], reply["records"], reply["broken"]) == (False, 2, {"seq": 4, "flaw": "gap"})


async def test_records_are_given_newest_first_page_by_page() -> None:
    ledger = await filled(5)
    first = (await ask("/audit?limit=2", ledger)).json()
    second = (await ask(f"/audit?limit=2&after={first['next']}", ledger)).json()
    assert [record["seq"] for record in first["records"] + second["records"]] == [5, 4, 3, 2]
    last = (await ask(f"/audit?limit=2&after={second['next']}", ledger)).json()
    assert ([record["seq"] for record in last["records"]], last["next"]) == ([1], None)
    assert first["records"][0]["hash"] == ledger.entries[4].hash.hex()
    assert first["records"][0]["record_id"] == f"{4:032x}"


@pytest.mark.parametrize(
    "query",
    [
        "study=Doe%5EJane",
        "job=Doe",
        "action=peek",
        "from=Doe",
        "to=2026-13-01",
        "limit=Doe",
        "after=0",
        "Doe=1",
        "caller=",
    ],
)
async def test_an_invalid_parameter_is_refused_and_its_value_not_repeated(query: str) -> None:
    ledger = await filled(1)
    reply = await ask(f"/audit?{query}", ledger)
    assert reply.status_code == 400
    assert "Doe" not in reply.text
    assert "2026" not in reply.text
    assert len(ledger.entries) == 1
