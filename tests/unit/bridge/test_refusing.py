"""Associations in the audit log: who came in, and who did not."""

from __future__ import annotations

from functools import partial

from services.bridge.model import Peer, Rejection
from services.bridge.refusing import entered, refused
from services.chassis.doors import Doors
from services.chassis.faults import PassingFault
from services.chassis.life import Record
from services.chassis.log import Log
from services.contracts import records
from services.contracts.events import AuditRecorded

PEER = Peer("STRANGER", "PLEXUS", "192.0.2.9", certificate="abc")
MAKE = partial(records.door, "bridge")


class Said:
    """Events that are kept, while the bus is there."""

    def __init__(self) -> None:
        self.events: list[AuditRecorded] = []
        self.away = False
        self.now = 0.0
        self.doors = Doors(self, MAKE, log=Log("bridge"), clock=lambda: self.now)

    async def say(self, event: object, *, message_id: str | None = None) -> None:
        """Keep."""
        if self.away:
            raise PassingFault("bus-unavailable", "away")
        assert isinstance(event, AuditRecorded) and message_id == event.record_id
        self.events.append(event)


async def test_a_rejection_is_recorded_with_who_and_why() -> None:
    said = Said()
    await refused(PEER, Rejection.CALLING_AE_TITLE, doors=said.doors)
    (record,) = said.events
    assert (record.action, record.outcome, record.reason_code) == ("associate", "refused", "calling-ae-title")
    assert (record.caller, record.proved_by, record.source) == ("STRANGER", "certificate:abc", "192.0.2.9")


async def test_nobody_floods_the_log_with_rejections() -> None:
    said = Said()
    for number in range(100):
        await refused(Peer(f"GUESS{number}", "PLEXUS", "192.0.2.9"), Rejection.CALLING_AE_TITLE, doors=said.doors)
    assert [event.caller for event in said.events] == [f"GUESS{number}" for number in range(20)]
    await refused(PEER, Rejection.LIMIT, doors=said.doors)
    await refused(Peer("A", "PLEXUS", "192.0.2.10"), Rejection.CALLING_AE_TITLE, doors=said.doors)
    said.now = 61.0
    await refused(PEER, Rejection.CALLING_AE_TITLE, doors=said.doors)
    assert len(said.events) == 23


async def test_a_peer_that_comes_in_is_recorded_once_an_hour() -> None:
    said = Said()
    for moment in (0.0, 10.0, 3599.0, 3601.0):
        said.now = moment
        await entered(PEER, doors=said.doors)
    assert [(each.action, each.outcome, each.caller, each.detail) for each in said.events] == [
        ("login", "success", "STRANGER", "association")
    ] * 2


async def test_who_comes_under_ever_new_names_floods_nothing_and_is_recorded_later() -> None:
    said = Said()
    for number in range(100):
        await entered(Peer(f"GUESS{number}", "PLEXUS", "192.0.2.9"), doors=said.doors)
    assert len(said.events) == 20
    said.now = 61.0
    await entered(Peer("GUESS99", "PLEXUS", "192.0.2.9"), doors=said.doors)
    assert said.events[-1].caller == "GUESS99"


async def test_a_bus_that_is_away_changes_nothing_for_the_peer() -> None:
    said = Said()
    said.away = True
    await refused(PEER, Rejection.LIMIT, doors=said.doors)
    await entered(PEER, doors=said.doors)
    said.away = False
    await entered(PEER, doors=said.doors)
    assert [each.action for each in said.events] == ["login"]
    nowhere = Doors(None, MAKE, log=Log("bridge"))
    await refused(PEER, Rejection.LIMIT, doors=nowhere)
    await entered(PEER, doors=nowhere)


def test_a_record_is_what_doors_say() -> None:
    record: Record = records.life("bridge", started=True)
    assert record.record_id
