"""Hand-written stand-ins for the ports of the bridge."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from services.bridge.errors import AbandonedError
from services.bridge.model import Announced, Answer, Outcome, Peer, Rejection, Reply
from services.bridge.ports import Transfer
from services.chassis.principal import Principal

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"


class FakeTransfer:
    """An instance of a few bytes, whose sender may go away."""

    def __init__(self, uid: str = "1.2.3", *, data: bytes = b"DICM", complete: bool = True) -> None:
        self.announced = Announced(CT, uid, EXPLICIT_LITTLE_ENDIAN)
        self.size = 0
        self.answers: list[Answer] = []
        self._data = data
        self._complete = complete

    async def file(self) -> AsyncIterator[bytes]:
        """The bytes, then the end or the sender's going."""
        self.size += len(self._data)
        yield self._data
        if not self._complete:
            raise AbandonedError

    def answer(self, answer: Answer) -> None:
        """Remember the answer."""
        self.answers.append(answer)


class FakeAssociation:
    """An association that brings what it was made with."""

    def __init__(self, transfers: Iterable[FakeTransfer] = (), ending: str = "released") -> None:
        self.peer = Peer("SCANNER", "PLEXUS", "192.0.2.7")
        self.ending = ""
        self._transfers = list(transfers)
        self._ending = ending

    async def next(self) -> FakeTransfer | None:
        """The next one."""
        if self._transfers:
            return self._transfers.pop(0)
        self.ending = self._ending
        return None


class FakeArchive:
    """Answers each instance with the next of its replies; an exception among them is raised instead."""

    def __init__(self, *replies: Reply | Exception, breaks_after: int | None = None) -> None:
        self.replies = list(replies)
        self.deliveries: list[list[str]] = []
        self.principals: list[Principal] = []
        self.ended = 0
        self._breaks_after = breaks_after

    @asynccontextmanager
    async def deliver(self, principal: Principal) -> AsyncIterator[FakeDelivery]:
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

    async def store(self, transfer: Transfer) -> Reply:
        """Read the file to its end and reply."""
        self._received.append(transfer.announced.sop_instance_uid)
        async for _ in transfer.file():
            pass
        reply = self._archive.replies.pop(0) if self._archive.replies else Reply(Outcome.STORED)
        if isinstance(reply, Exception):
            raise reply
        return reply


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
