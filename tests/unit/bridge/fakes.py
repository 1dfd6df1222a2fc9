"""Hand-written stand-ins for the ports of the bridge."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from services.bridge.errors import AbandonedError
from services.bridge.model import Announced, Outcome, Rejection, Reply
from services.bridge.ports import Transfer
from services.chassis.principal import Principal

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"


class FakeTransfer:
    """An instance of a few bytes, whose sender may go away."""

    def __init__(self, uid: str = "1.2.3", *, data: bytes = b"DICM", complete: bool = True) -> None:
        self.announced = Announced(CT, uid, EXPLICIT_LITTLE_ENDIAN)
        self.size = 0
        self._data = data
        self._complete = complete

    def file(self) -> Iterator[bytes]:
        """The bytes, then the end or the sender's going."""
        self.size += len(self._data)
        yield self._data
        if not self._complete:
            raise AbandonedError


class FakeArchive:
    """Answers each instance with the next of its replies; an exception among them is raised instead."""

    def __init__(self, *replies: Reply | Exception, breaks_after: int | None = None) -> None:
        self.replies = list(replies)
        self.deliveries: list[list[str]] = []
        self.principals: list[Principal] = []
        self.ended = 0
        self.cancelled = 0
        self._breaks_after = breaks_after

    @contextmanager
    def deliver(self, principal: Principal) -> Iterator[FakeDelivery]:
        """A delivery, remembered."""
        self.principals.append(principal)
        received: list[str] = []
        self.deliveries.append(received)
        try:
            yield FakeDelivery(self, received, self._breaks_after)
        finally:
            self.ended += 1


class FakeDelivery:
    """One delivery."""

    def __init__(self, archive: FakeArchive, received: list[str], breaks_after: int | None) -> None:
        self._archive = archive
        self._received = received
        self._breaks_after = breaks_after

    @property
    def broken(self) -> bool:
        """Whether the archive ended it, as one does that is restarted."""
        return self._breaks_after is not None and len(self._received) >= self._breaks_after

    def store(self, transfer: Transfer) -> Reply:
        """Read the file to its end and reply."""
        self._received.append(transfer.announced.sop_instance_uid)
        for _ in transfer.file():
            pass
        reply = self._archive.replies.pop(0) if self._archive.replies else Reply(Outcome.STORED)
        if isinstance(reply, Exception):
            raise reply
        return reply

    def cancel(self) -> None:
        """Remember."""
        self._archive.cancelled += 1


class FakeTally:
    """Counts in lists."""

    def __init__(self) -> None:
        self.open = 0
        self.outcomes: list[Outcome] = []
        self.rejections: list[Rejection] = []

    def opened(self) -> None:
        """One more."""
        self.open += 1

    def closed(self) -> None:
        """One less."""
        self.open -= 1

    def rejected(self, reason: Rejection) -> None:
        """Remember."""
        self.rejections.append(reason)

    def instance(self, outcome: Outcome, size: int, seconds: float) -> None:
        """Remember."""
        self.outcomes.append(outcome)
