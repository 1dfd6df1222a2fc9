"""Associations that are not accepted: each kind is in the audit log, however often somebody tries."""

from __future__ import annotations

from services.bridge.model import Peer, Rejection
from services.chassis.doors import Doors

_DOOR = "association"


async def refused(peer: Peer, reason: Rejection, *, doors: Doors) -> None:
    """An association was rejected (PS3.8 9.3.4)."""
    await doors.refused(peer.principal(), _DOOR, reason.value)


async def entered(peer: Peer, *, doors: Doors) -> None:
    """An association was accepted."""
    await doors.entered(peer.principal(), _DOOR)
