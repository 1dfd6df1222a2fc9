"""Where results are handed in: what sending on needs of an application entity and of a DICOMweb service alike."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final, Protocol

from services.bridge.exchanging import Place, Recipient
from services.bridge.ports import Library
from services.chassis.principal import Principal

SENDER: Final = Principal.service("bridge")
"""In whose name results are read: nobody outside has asked."""


class Results(Library, Protocol):
    """The archive as the place where results lie."""

    def file(self, place: Place, principal: Principal, *, to: Recipient | None = None) -> AsyncGenerator[bytes]:
        """The PS3.10 file of an instance as it is stored, in chunks: `place.size` bytes; `to` as for `read`."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """A result on its way. It is read from the archive while it is sent; the log there says to whom.

    Attributes:
        place: what it is.
        library: where it is read.
        to: where it goes, if that is known.
    """

    place: Place
    library: Results
    to: Recipient | None = None

    def file(self) -> AsyncGenerator[bytes]:
        """Its PS3.10 file as it is stored: `place.size` bytes."""
        return self.library.file(self.place, SENDER, to=self.to)

    def data_set(self, transfer_syntax_uid: str) -> AsyncGenerator[bytes]:
        """Its data set alone, in a transfer syntax."""
        return self.library.read(self.place, transfer_syntax_uid, SENDER, to=self.to)


class Counter(Protocol):
    """A destination that takes results now, one after another."""

    async def hand_in(self, parcel: Parcel) -> int | None:
        """Hand one in; gives a status of C-STORE (PS3.4 B.2.3), or None: it went away in the middle.

        Raises:
            UnansweredError: the archive did not give the result to its end.
            UnheldError: the archive has it no more, or the destination refuses for good whatever is sent.
            UnreachableError: the destination does not take it now.
        """


class Outlet(Protocol):
    """A destination."""

    def recipient(self) -> Recipient | None:
        """Its name and host, if we were told."""

    def open(self, places: Sequence[Place]) -> AbstractAsyncContextManager[Counter]:
        """Ask it to take these, for the time of the block.

        Raises:
            UnreachableError: it does not now.
        """
