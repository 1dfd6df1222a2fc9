"""What is heard: kept together, once, and one that cannot be kept does not keep the others."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from services.audit.errors import LogUnavailableError
from services.audit.subscriptions import subscription
from services.chassis.hearing import Delivery
from services.contracts.events import AuditRecorded
from tests.unit.audit.memory import MemoryLedger, recorded


def delivery(event: AuditRecorded | bytes) -> Delivery:
    return Delivery("s", event if isinstance(event, bytes) else event.to_bytes(), "m", 1)


async def test_what_comes_twice_is_kept_once_and_what_is_no_record_is_named_by_its_place() -> None:
    ledger = MemoryLedger()
    heard = subscription(ledger=ledger, at_once=10)
    odd_id = AuditRecorded("../x", "", "", "", "")
    faults = await heard.handle([delivery(each) for each in (recorded(1), b"\xff\xff", recorded(1), odd_id)])
    assert set(faults) == {1, 3}
    assert [entry.index.record_id for entry in ledger.entries] == [f"{1:032x}"]
    assert await heard.handle([delivery(recorded(1))]) == {}
    assert len(ledger.entries) == 1


class Picky(MemoryLedger):
    async def append(self, records: Mapping[str, bytes]) -> None:
        if any(b'"odd"' in data for data in records.values()):
            raise ValueError
        await super().append(records)


async def test_a_record_that_cannot_be_kept_does_not_keep_the_others() -> None:
    ledger = Picky()
    batch = [delivery(recorded(number, detail="odd" if number == 1 else "")) for number in range(3)]
    faults = await subscription(ledger=ledger, at_once=10).handle(batch)
    assert set(faults) == {1}
    assert len(ledger.entries) == 2


async def test_a_database_that_is_away_lets_all_of_them_come_again() -> None:
    ledger = MemoryLedger()
    ledger.available = False
    with pytest.raises(LogUnavailableError):
        await subscription(ledger=ledger, at_once=10).handle([delivery(recorded(1))])
