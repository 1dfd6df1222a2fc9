"""What the audit service needs of others, named by role."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from services.audit.merkle import Frontier
from services.audit.model import Entry, LogQuery
from services.audit.tiles import Tile
from services.chassis.principal import Principal


class Ledger(Protocol):
    """The log as it is kept."""

    async def append(self, records: Mapping[str, bytes]) -> None:
        """Keep records, by their ids; returns once they are durable. One that is there already changes nothing."""

    async def settings(self, service: str) -> Mapping[str, str] | None:
        """The digests of the settings with which a service last started; None: it never did."""

    async def keep_settings(self, service: str, settings: Mapping[str, str]) -> None:
        """Keep the digests of the settings with which a service has started."""

    async def find(self, query: LogQuery) -> Sequence[Entry]:
        """The records that are asked for, newest first."""

    async def following(self, seq: int, limit: int) -> Sequence[Entry]:
        """The records after a place, oldest first."""

    async def erase(self, told: Mapping[str, bytes]) -> int:
        """Erase the content of records and tell of each; gives of how many. One transaction.

        Args:
            told: for the id of each record to erase, the record that tells of it (its own id is in it).
        """

    def walk(self, after: int = 0) -> AbstractAsyncContextManager[Walk]:
        """The log after a place, as it is at one moment."""

    def publication(self) -> AbstractAsyncContextManager[Publication]:
        """The right to sign a checkpoint, which one process has at a time; what it keeps is kept when this ends."""

    async def cosigned(self) -> Sequence[str]:
        """The last checkpoint that each witness has signed, the largest first."""

    async def keep_cosigned(self, witness: str, size: int, checkpoint: str) -> None:
        """Keep a checkpoint that a witness has signed, unless it has signed a larger one."""


class Walk(Protocol):
    """A look at the log, which does not move meanwhile."""

    @property
    def head(self) -> tuple[int, bytes]:
        """How large the log says that its tree is, and its frontier."""

    @property
    def checkpoint(self) -> str:
        """The last signed checkpoint, as the database has it."""

    @property
    def cosigned(self) -> Sequence[str]:
        """The checkpoints that witnesses have signed."""

    @property
    def guarded(self) -> bool:
        """Whether the database refuses to change records: the triggers are there and on."""

    def batches(self) -> AsyncIterator[Sequence[Entry]]:
        """The entries, in order."""


class Publication(Protocol):
    """What is needed to sign a checkpoint."""

    @property
    def head(self) -> Frontier:
        """The tree as it is now."""

    @property
    def checkpoint(self) -> str:
        """The last signed checkpoint; "" before the first."""

    async def leaves(self, start: int, end: int) -> list[bytes]:
        """The leaves of a range."""

    async def keep(self, checkpoint: str) -> None:
        """Keep a signed checkpoint in place of the last."""


class Tiles(Protocol):
    """The tiles, and the checkpoint beside them, as they lie on a disk. Blocking."""

    def read(self, tile: Tile) -> bytes:
        """The content of a tile, exactly as wide as asked for.

        Raises:
            TileMissingError: it is not there.
        """

    def copies(self, tile: Tile) -> Sequence[tuple[Tile, bytes]]:
        """Everything that lies at a tile's place, of whatever width."""

    def write(self, tiles: Mapping[Tile, bytes]) -> None:
        """Write tiles, durably."""

    def checkpoint(self) -> str:
        """The checkpoint; "" where there is none."""

    def publish(self, checkpoint: str) -> None:
        """Put another checkpoint in its place, durably."""


class Patients(Protocol):
    """Who the archive says that studies are of. The log holds references only."""

    async def studies_of(self, patient_id: str, principal: Principal) -> Sequence[str]:
        """The studies of a patient.

        Raises:
            PassingFault: the archive does not answer.
        """

    async def patients_of(self, studies: Sequence[str], principal: Principal) -> Mapping[str, str]:
        """The patient IDs of studies, of those that are there.

        Raises:
            PassingFault: the archive does not answer.
        """


class Cursors(Protocol):
    """How far each receiver has got the log."""

    async def cursor(self, target: str) -> int:
        """The last record that a receiver has; 0 before the first."""

    async def advance(self, target: str, seq: int) -> None:
        """A receiver has the records up to this one."""

    def turn(self, target: str) -> AbstractAsyncContextManager[bool]:
        """Whether this process is the one of several that forwards to a receiver, as long as this lasts."""


class Receiver(Protocol):
    """Where the log is forwarded to."""

    @property
    def name(self) -> str:
        """What its cursor is kept under."""

    async def send(self, entries: Sequence[Entry], patients: Mapping[str, str]) -> None:
        """Send records; returns when the receiver has them.

        Raises:
            PassingFault: it does not take them now.
        """
