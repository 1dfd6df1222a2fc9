"""What the bridge needs from elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from services.bridge.model import Announced, Answer, Outcome, Peer, Rejection, Reply
from services.chassis.principal import Principal


class Transfer(Protocol):
    """An instance that is being received."""

    @property
    def announced(self) -> Announced:
        """What the request says of it."""

    @property
    def size(self) -> int:
        """How many bytes of it have come so far."""

    def file(self) -> AsyncIterator[bytes]:
        """Its PS3.10 file, in chunks, as it arrives.

        Raises:
            AbandonedError: the sender went away before its end.
        """

    def answer(self, answer: Answer) -> None:
        """Tell the sender; only the first answer counts."""


class Association(Protocol):
    """An association that is open."""

    @property
    def peer(self) -> Peer:
        """Who opened it."""

    @property
    def ending(self) -> str:
        """How it ended: `released` or `aborted`; empty while it is open."""

    async def next(self) -> Transfer | None:
        """The next instance; `None` once the association has ended and nothing is left."""


class Delivery(Protocol):
    """What one association brings to the archive, in order."""

    @property
    def broken(self) -> bool:
        """Whether it has ended by itself, so that a new one is needed."""

    async def store(self, transfer: Transfer) -> Reply:
        """Hand one instance over; returns once it is durable, or not.

        Raises:
            UndeliveredError: the archive did not take it.
            AbandonedError: the sender went away in the middle of it.
        """


class Archive(Protocol):
    """Where deliveries go."""

    def deliver(self, principal: Principal) -> AbstractAsyncContextManager[Delivery]:
        """A delivery on behalf of `principal`; it ends with the block. Leaving the block raises nothing of its own.

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
