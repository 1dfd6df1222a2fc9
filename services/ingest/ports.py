"""What ingest needs, by role."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol
from uuid import UUID

from services.chassis.principal import Principal
from services.contracts.events import Event, SeriesSettled
from services.ingest.model import Offer, Outcome, Quiet, Target
from services.store.drafts import Draft
from services.store.history import ErasedSeries, Evidence
from services.store.model import Entry, Written


class Objects(Protocol):
    """Where the bytes go; `services.store.objects.ObjectStore` satisfies it."""

    def draft(self, *, hashed: bool = True) -> Draft:
        """A place for bytes that come in; without `hashed`, for bytes that are never kept."""

    async def keep(self, draft: Draft) -> str:
        """Make a sealed draft durable; gives its digest. Raises `ObjectsUnavailable`."""

    async def read(self, digest: str, offset: int = 0, length: int | None = None) -> bytes:
        """Bytes of an object. Raises `ObjectMissing`, `ObjectsUnavailable`."""

    def stream(
        self, digest: str, offset: int = 0, length: int | None = None, chunk: int = 256 * 1024
    ) -> AsyncIterator[bytes]:
        """The same in chunks."""


class Ledger(Protocol):
    """What is written down, together with what is said of it."""

    async def record(self, offer: Offer) -> Written:
        """Write an instance and its facts in one transaction; committed when this returns. Idempotent.

        Raises:
            IndexUnavailable: nothing is written.
        """

    async def say(self, event: Event) -> None:
        """Say a fact of something that was not written. Raises `IndexUnavailable`."""


class Deliveries(Protocol):
    """What is on its way: while a delivery is open, the series that it touched do not settle."""

    def opened(self) -> AbstractAsyncContextManager[UUID]:
        """A delivery, open while the body runs."""


class Claim(Protocol):
    """A quiet series in our hands: no other process settles it meanwhile."""

    @property
    def quiet(self) -> Quiet:
        """What it is now."""

    async def settle(self, fact: SeriesSettled | None) -> None:
        """Note it as settled, and say the fact if there is one; in force once the claim is left without an error."""


class Book(Protocol):
    """The series that have changed since they settled last."""

    def claim(self) -> AbstractAsyncContextManager[Claim | None]:
        """The next quiet series, or None. Raises `IndexUnavailable`."""


class Custody(Protocol):
    """What is done to things that are stored. All raise `IndexUnavailable`; then nothing has happened."""

    async def erase(self, target: Target, principal: Principal, trace_id: str) -> Sequence[ErasedSeries]:
        """Take instances out of the index with all evidence, and say so, in one transaction; what it was."""

    async def evidence(self, limit: int, offset: int) -> Sequence[Evidence]:
        """Objects that are kept beside what is served, newest first."""

    async def one(self, sop_instance_uid: str, digest: str) -> Evidence | None:
        """One of them, or None."""

    async def exchange(self, entry: Entry, principal: Principal, trace_id: str) -> bool:
        """Serve evidence; what was served becomes evidence. False: it is none any more."""

    async def dismiss(self, sop_instance_uid: str, digest: str, principal: Principal, trace_id: str) -> bool:
        """Let go of evidence. False: it is none any more."""


class Discards(Protocol):
    """Objects that nothing names any more; `services.store.discards.Discards` satisfies it."""

    async def remove_next(self) -> bool:
        """Remove one; whether there was one to look at. Raises `IndexUnavailable`, `ObjectsUnavailable`."""


class Tally(Protocol):
    """What is counted."""

    def instance(self, outcome: Outcome, size: int, seconds: float) -> None:
        """An instance of `size` bytes had its verdict `seconds` after it had come in."""

    def settled(self, instances: int) -> None:
        """A series of so many instances has settled anew."""
