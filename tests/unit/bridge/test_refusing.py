"""Rejections in the audit log."""

from __future__ import annotations

from services.bridge.model import Peer, Rejection
from services.bridge.refusing import Refusals
from services.chassis.faults import PassingFault
from services.chassis.log import Log
from services.contracts.events import AuditRecorded

PEER = Peer("STRANGER", "PLEXUS", "192.0.2.9", certificate="abc")
LOG = Log("bridge")


class Said:
    """Events that are kept, while the bus is there."""

    def __init__(self) -> None:
        self.events: list[AuditRecorded] = []
        self.away = False

    async def say(self, event: AuditRecorded, *, message_id: str | None = None) -> None:
        """Keep."""
        if self.away:
            raise PassingFault("bus-unavailable", "away")
        self.events.append(event)


async def test_a_rejection_is_recorded_with_who_and_why() -> None:
    said = Said()
    await Refusals(said, log=LOG).note(PEER, Rejection.CALLING_AE_TITLE)
    (record,) = said.events
    assert (record.action, record.outcome, record.reason_code) == ("associate", "refused", "calling-ae-title")
    assert (record.caller, record.proved_by, record.source) == ("STRANGER", "certificate:abc", "192.0.2.9")


async def test_nobody_floods_the_log() -> None:
    said, now = Said(), [0.0]
    refusals = Refusals(said, log=LOG, a_minute=3, clock=lambda: now[0])
    for number in range(100):
        await refusals.note(Peer(f"GUESS{number}", "PLEXUS", "192.0.2.9"), Rejection.CALLING_AE_TITLE)
    assert [event.caller for event in said.events] == ["GUESS0", "GUESS1", "GUESS2"]
    await refusals.note(PEER, Rejection.LIMIT)
    await refusals.note(Peer("A", "PLEXUS", "192.0.2.10"), Rejection.CALLING_AE_TITLE)
    now[0] = 61.0
    await refusals.note(PEER, Rejection.CALLING_AE_TITLE)
    assert len(said.events) == 6


async def test_a_bus_that_is_away_changes_nothing_for_the_peer() -> None:
    said = Said()
    said.away = True
    await Refusals(said, log=LOG).note(PEER, Rejection.LIMIT)
    await Refusals(None, log=LOG).note(PEER, Rejection.LIMIT)
    assert said.events == []
