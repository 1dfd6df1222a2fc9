"""What the bridge needs from elsewhere."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Protocol, TypeVar

from services.bridge.exchanging import Address, Found, Held, Place, Recipient, Request, Response
from services.bridge.information import Inquiry, Retrieval
from services.bridge.model import Announced, Outcome, Rejection, Reply
from services.chassis.principal import Principal
from services.contracts.events import AuditRecorded

T = TypeVar("T")


class Transfer(Protocol):
    """An instance that is being received."""

    @property
    def announced(self) -> Announced:
        """What the request says of it."""

    @property
    def size(self) -> int:
        """How many bytes of it have come so far."""

    def file(self) -> Iterator[bytes]:
        """Its PS3.10 file, in chunks, as it arrives; what was read once does not come again.

        Raises:
            AbandonedError: the sender went away before its end.
        """


class Delivery(Protocol):
    """What one association brings to the archive, in order."""

    @property
    def broken(self) -> bool:
        """Whether it has ended by itself, so that a new one is needed."""

    def store(self, transfer: Transfer) -> Reply:
        """Hand one instance over; returns once it is durable, or not.

        Raises:
            UndeliveredError: the archive did not take it.
            AbandonedError: the sender went away in the middle of it.
        """

    def cancel(self) -> None:
        """Break it off; what was answered stays."""


class Archive(Protocol):
    """Where deliveries go."""

    def deliver(self, principal: Principal) -> AbstractContextManager[Delivery]:
        """A delivery on behalf of `principal`; it ends with the block. Leaving the block raises nothing of its own.
        It belongs to one thread, which waits.

        Raises:
            UndeliveredError: the archive is away.
        """


class Tally(Protocol):
    """What is counted."""

    def opened(self) -> None:
        """An association was opened."""

    def closed(self) -> None:
        """An association has ended."""

    def rejected(self, reason: Rejection) -> None:
        """An association was not accepted."""

    def instance(self, outcome: Outcome, size: int, seconds: float) -> None:
        """An instance of `size` bytes took `seconds`, from its first byte to the answer."""


class Exchange(Protocol):
    """A request of the Query/Retrieve service class that is being answered."""

    @property
    def request(self) -> Request:
        """What is asked, by whom."""

    @property
    def cancelled(self) -> bool:
        """Whether the peer has cancelled it (C-CANCEL)."""

    async def lend(self, what: Callable[[], T], /) -> T:
        """Have the thread of its association, which waits for the last response, do what blocks."""

    def sink(self) -> Sink:
        """The association itself, as the place where sub-operations go (C-GET)."""

    async def answer(self, *responses: Response) -> None:
        """Send responses, all but the last one of the exchange; returns once they are on their way.

        Raises:
            AbandonedError: the peer went away.
        """


class Library(Protocol):
    """The archive, asked on behalf of a peer. All raise UnansweredError, UnheldError."""

    def find(self, inquiry: Inquiry, principal: Principal) -> AsyncGenerator[Found]:
        """What matches, some at a time."""

    async def locate(self, retrieval: Retrieval, principal: Principal) -> list[Place]:
        """The instances that a retrieval names."""

    def read(
        self, place: Place, transfer_syntax_uid: str, principal: Principal, *, to: Recipient | None = None
    ) -> AsyncGenerator[bytes]:
        """The data set of an instance in a transfer syntax, in chunks; the log says where it goes.

        Args:
            to: where, if not to the one who asks.
        """

    async def check(self, references: Sequence[tuple[str, str]], principal: Principal) -> list[Held]:
        """What is held of (SOP class, SOP instance), in the same order."""


class Sink(Protocol):
    """Where C-STORE sub-operations go."""

    def accepted(self, sop_class_uid: str) -> Sequence[str]:
        """The transfer syntaxes in which instances of a class are taken."""

    async def store(self, place: Place, transfer_syntax_uid: str, chunks: AsyncIterator[bytes]) -> int | None:
        """Send an instance; gives the status of the C-STORE, or None when the association did not outlive it.

        Raises:
            AbandonedError: the peer that asked went away.
        """


class Requests(Protocol):
    """What is counted of requests that are no C-STORE."""

    def answered(self, operation: str, status: str, seconds: float) -> None:
        """One was answered with this status."""


class Addresses(Protocol):
    """Where application entities listen, as the operator has said."""

    def of(self, ae_title: str) -> Address | None:
        """The address of one."""


class Records(Protocol):
    """Where audit records are said."""

    async def say(self, event: AuditRecorded, *, message_id: str | None = None) -> None:
        """Say one durably. Raises PassingFault."""


class Destinations(Protocol):
    """The application entities to which instances may be moved."""

    def of(self, ae_title: str) -> Recipient | None:
        """Where it listens, if we were told."""

    def open(
        self, ae_title: str, proposals: Sequence[tuple[str, tuple[str, ...]]], exchange: Exchange
    ) -> AbstractAsyncContextManager[Sink]:
        """An association with it, released with the block.

        Args:
            proposals: presentation contexts: SOP class, transfer syntaxes.
            exchange: the C-MOVE for which it is.

        Raises:
            UnreachableError: it does not take our association.
        """


class Transfers(Protocol):
    """Where is told what became of instances that were to go to another system."""

    async def failed(self, request: Request, to: Recipient, studies: Mapping[str, int], reason: str) -> None:
        """So many instances of studies did not go. Never raises: the peer that asked hears it in any case."""
