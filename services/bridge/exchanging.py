"""Requests of the Query/Retrieve service class, and what is answered to them: frozen values and pure rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from services.bridge.model import COERCED, SUCCESS, Peer
from services.dicom.transfer_syntaxes import EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN

PENDING: Final = 0xFF00
PENDING_WITH_WARNING: Final = 0xFF01
"""Matches go on, and some optional key was passed over (PS3.4 Table C.4-1)."""
CANCELLED: Final = 0xFE00
OUT_OF_RESOURCES: Final = 0xA700
CANNOT_COUNT: Final = 0xA701
CANNOT_SEND: Final = 0xA702
DESTINATION_UNKNOWN: Final = 0xA801

_MOST_CONTEXTS: Final = 128
"""Presentation contexts of an association: odd numbers up to 255 (PS3.8 9.3.2.2)."""


@dataclass(frozen=True, slots=True)
class Request:
    """A C-FIND, C-MOVE or C-GET request as it came.

    Attributes:
        sop_class_uid: which service of which information model.
        identifier: its data set, encoded.
        transfer_syntax_uid: of the identifier.
        relational: extended negotiation allowed to leave out the levels above (PS3.4 C.5).
        destination: of a C-MOVE, the AE title to which the instances go.
    """

    peer: Peer
    sop_class_uid: str
    message_id: int
    identifier: bytes
    transfer_syntax_uid: str
    relational: bool = False
    destination: str = ""


@dataclass(frozen=True, slots=True)
class Counts:
    """Sub-operations of a retrieval (PS3.4 C.4.2.1.6 to C.4.2.1.9)."""

    remaining: int
    completed: int = 0
    failed: int = 0
    warning: int = 0

    def after(self, status: int | None) -> Counts:
        """The counts after one more sub-operation, which ended with this status; None: it was not tried."""
        rest = replace(self, remaining=self.remaining - 1)
        if status == SUCCESS:
            return replace(rest, completed=self.completed + 1)
        if status is not None and is_warning(status):
            return replace(rest, warning=self.warning + 1)
        return replace(rest, failed=self.failed + 1)

    @property
    def status(self) -> int:
        """How a retrieval ends that went through all of them (PS3.4 C.4.2.3.1)."""
        if not self.failed and not self.warning:
            return SUCCESS
        return COERCED if self.completed or self.warning else CANNOT_SEND


def is_warning(status: int) -> bool:
    """Whether an instance is stored, and there is something to say of it (PS3.4 Table B.2-1, PS3.7 Annex C)."""
    return status & 0xF000 == COERCED & 0xF000 or status in (0x0001, 0x0107, 0x0116)


@dataclass(frozen=True, slots=True)
class Response:
    """One response.

    Attributes:
        offending: tag of the attribute at fault, or "".
        identifier: an encoded data set, where the response has one.
    """

    status: int
    comment: str = ""
    offending: str = ""
    identifier: bytes | None = None
    counts: Counts | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A part of what the archive answers to a query: `matches` are DICOM JSON."""

    warnings: tuple[str, ...] = ()
    matches: tuple[bytes, ...] = ()
    more: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """An instance that a retrieval names."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    size: int


@dataclass(frozen=True, slots=True)
class Recipient:
    """Where instances go that are read for somebody else than the peer that asks.

    Attributes:
        name: its AE title, or the URL of its DICOMweb service.
        host: where it is.
    """

    name: str
    host: str


class Held(StrEnum):
    """What the archive says of an instance that is to be safe there."""

    HELD = "held"
    ABSENT = "absent"
    OTHER_CLASS = "other-class"
    DAMAGED = "damaged"


def proposals(places: Iterable[Place]) -> list[tuple[str, tuple[str, ...]]]:
    """The presentation contexts for a sub-association: SOP class, transfer syntaxes.

    Each class is proposed in each syntax in which its instances are stored, for these go as they are; and uncompressed,
    for a peer that takes no other. Where there are too many, the syntaxes of the fewest instances go without.
    """
    stored: dict[tuple[str, str], int] = {}
    for place in places:
        pair = place.sop_class_uid, place.transfer_syntax_uid
        stored[pair] = stored.get(pair, 0) + 1
    plain = (EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN)
    first = [(sop_class, plain) for sop_class in dict.fromkeys(sop_class for sop_class, _ in stored)]
    others = sorted((pair for pair in stored if pair[1] != EXPLICIT_LITTLE_ENDIAN), key=lambda pair: -stored[pair])
    return [*first, *((sop_class, (syntax,)) for sop_class, syntax in others)][:_MOST_CONTEXTS]


def chosen(place: Place, accepted: Sequence[str]) -> str | None:
    """The transfer syntax for an instance among those that the peer takes: as stored, or uncompressed."""
    for syntax in (place.transfer_syntax_uid, EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN):
        if syntax in accepted:
            return syntax
    return None


@dataclass(frozen=True, slots=True)
class Address:
    """Where an application entity listens."""

    host: str
    port: int


def addresses(text: str) -> Mapping[str, Address]:
    """Read `AE=host:port`, with commas or line ends between; what follows a `#` is passed over.

    Raises:
        ValueError: an entry is none; says which, by its number.
    """
    found: dict[str, Address] = {}
    lines = (line.partition("#")[0] for line in text.splitlines())
    entries = [entry.strip() for line in lines for entry in line.split(",") if entry.strip()]
    for number, entry in enumerate(entries, start=1):
        ae_title, equals, address = entry.partition("=")
        host, colon, port = address.strip().rpartition(":")
        ae_title = ae_title.strip()
        usable = port.isascii() and port.isdigit() and 0 < int(port) < 65536
        if not (equals and colon and host and usable and 0 < len(ae_title) <= 16):
            raise ValueError(f"entry {number} is not AE=host:port")
        found[ae_title] = Address(host.strip("[]"), int(port))
    return found
