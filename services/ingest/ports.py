"""What ingest needs, by role."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol
from uuid import UUID

from services.contracts.events import Event, SeriesSettled
from services.ingest.model import Offer, Outcome, Quiet
from services.store.drafts import Draft
from services.store.model import Written


class Objects(Protocol):
    """Where the bytes go; `services.store.objects.ObjectStore` satisfies it."""

    def draft(self, *, hashed: bool = True) -> Draft:
        """A place for bytes that come in; without `hashed`, for bytes that are never kept."""

    async def keep(self, draft: Draft) -> str:
        """Make a sealed draft durable; gives its digest. Raises `ObjectsUnavailable`."""


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


class Tally(Protocol):
    """What is counted."""

    def instance(self, outcome: Outcome, size: int, seconds: float) -> None:
        """An instance of `size` bytes had its verdict `seconds` after it had come in."""

    def settled(self, instances: int) -> None:
        """A series of so many instances has settled anew."""
