"""Ports of ingest by hand, for tests of its use cases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

from services.contracts.events import Event, SeriesSettled
from services.ingest.model import Offer, Outcome, Quiet, told
from services.store.errors import IndexUnavailable
from services.store.model import Written


class FakeLedger:
    """Remembers what was written and said, in order."""

    def __init__(self) -> None:
        self.digests: dict[str, str] = {}
        self.said: list[Event] = []
        self.fails_with: Exception | None = None

    async def record(self, offer: Offer) -> Written:
        if self.fails_with is not None:
            raise self.fails_with
        entry = offer.entry
        first = self.digests.setdefault(entry.sop_instance_uid, entry.digest)
        written = Written.KEPT_FIRST
        if first == entry.digest:
            known = any(entry.digest in getattr(event, "digests", ()) for event in self.said)
            written = Written.UNCHANGED if known else Written.STORED
        self.said.extend(fact for _, fact in told([(offer, written)]))
        return written

    async def say(self, event: Event) -> None:
        if self.fails_with is not None:
            raise self.fails_with
        self.said.append(event)


class FakeTally:
    """Remembers the outcomes."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.series = 0

    def instance(self, outcome: Outcome, size: int, seconds: float) -> None:
        self.outcomes.append(outcome)

    def settled(self, instances: int) -> None:
        self.series += 1


class FakeDeliveries:
    """Knows which deliveries are open."""

    def __init__(self) -> None:
        self.open: set[UUID] = set()
        self.closed: list[UUID] = []

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[UUID]:
        delivery = uuid4()
        self.open.add(delivery)
        try:
            yield delivery
        finally:
            self.open.discard(delivery)
            self.closed.append(delivery)


class FakeClaim:
    """A claim that notes how it was settled."""

    def __init__(self, quiet: Quiet) -> None:
        self.quiet = quiet
        self.settled: list[SeriesSettled | None] = []

    async def settle(self, fact: SeriesSettled | None) -> None:
        self.settled.append(fact)


class FakeBook:
    """Gives the series that it was given, one after another."""

    def __init__(self, *quiet: Quiet) -> None:
        self.claims = [FakeClaim(each) for each in quiet]
        self.away = False
        self._next = iter(self.claims)

    @asynccontextmanager
    async def claim(self) -> AsyncIterator[FakeClaim | None]:
        if self.away:
            raise IndexUnavailable("ConnectionError")
        yield next(self._next, None)
