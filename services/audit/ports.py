"""What the audit service needs of others, named by role."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from services.audit.model import Entry, Head, LogQuery


class Ledger(Protocol):
    """The log as it is kept."""

    async def append(self, record_id: str, record: bytes) -> None:
        """Keep a record; returns once it is durable. A `record_id` that is there already changes nothing."""

    async def find(self, query: LogQuery) -> Sequence[Entry]:
        """The records that are asked for, newest first."""

    def walk(self) -> AbstractAsyncContextManager[Walk]:
        """The whole log as it is at one moment."""


class Walk(Protocol):
    """A look at the whole log, which does not move meanwhile."""

    @property
    def head(self) -> Head:
        """Where the log says that it ends."""

    @property
    def guarded(self) -> bool:
        """Whether the database refuses to change records: the triggers are there and on."""

    def batches(self) -> AsyncIterator[Sequence[Entry]]:
        """Every entry, in order."""
