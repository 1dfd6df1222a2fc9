"""Storage commitment (PS3.4 J): a modality asks, hears whether each instance is safe, and only then deletes its own.

What was asked is durable before the N-ACTION is answered, and the report is tried until the peer has taken it. It says
of an instance that it is safe only when the archive has committed it under its SOP class, and still has its bytes.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol
from uuid import uuid4

from services.bridge import identifiers
from services.bridge.errors import AbandonedError, RefusedError, UnreachableError
from services.bridge.exchanging import Held, Response
from services.bridge.model import SUCCESS, Peer
from services.chassis.faults import PassingFault
from services.chassis.log import Log
from services.chassis.principal import Principal
from services.contracts.events import CommitmentRequested
from services.dicom import uids
from services.dicom.dicom_json import DicomJson, text

PUSH_MODEL: Final = "1.2.840.10008.1.20.1"
PUSH_MODEL_INSTANCE: Final = "1.2.840.10008.1.20.1.1"
"""The one instance to which all requests are made (PS3.4 J.3.5)."""
ACTION_REQUEST: Final = 1
EVENT_SUCCESSFUL: Final = 1
EVENT_FAILURES_EXIST: Final = 2

PROCESSING_FAILURE: Final = 0x0110
NO_SUCH_INSTANCE: Final = 0x0112
INVALID_ARGUMENT: Final = 0x0115
CLASS_INSTANCE_CONFLICT: Final = 0x0119
NO_SUCH_ACTION: Final = 0x0123
NO_SUCH_CLASS: Final = 0x0118
DUPLICATE_TRANSACTION: Final = 0x0131
RESOURCE_LIMITATION: Final = 0x0213

_FAILURES: Final = {
    Held.ABSENT: NO_SUCH_INSTANCE,
    Held.OTHER_CLASS: CLASS_INSTANCE_CONFLICT,
    Held.DAMAGED: PROCESSING_FAILURE,
}
"""Failure Reason (0008,1197) by what the archive says (PS3.3 C.14.1.1)."""

_CHECKED_AT_ONCE: Final = 1000
_LONGEST_EVENT: Final = 900_000  # a message of the bus holds a megabyte

Reference = tuple[str, str]
"""SOP class and SOP instance."""


@dataclass(frozen=True, slots=True)
class Asked:
    """An N-ACTION request as it came."""

    peer: Peer
    sop_class_uid: str
    sop_instance_uid: str
    action: int
    information: bytes
    transfer_syntax_uid: str


@dataclass(frozen=True, slots=True)
class Report:
    """What is said of a transaction: which instances are safe, which not, and why (PS3.4 Table J.3-2)."""

    transaction_uid: str
    committed: tuple[Reference, ...]
    failed: tuple[tuple[Reference, int], ...]

    @property
    def event(self) -> int:
        """The Event Type ID."""
        return EVENT_FAILURES_EXIST if self.failed else EVENT_SUCCESSFUL

    def information(self, retrieve_ae_title: str, transfer_syntax_uid: str) -> bytes:
        """The data set of the N-EVENT-REPORT."""
        found: DicomJson = {"00081195": {"vr": "UI", "Value": [self.transaction_uid]}}
        if self.committed:
            found["00080054"] = {"vr": "AE", "Value": [retrieve_ae_title]}
            found["00081199"] = {"vr": "SQ", "Value": [_item(reference) for reference in self.committed]}
        if self.failed:
            items = [_item(each) | {"00081197": {"vr": "US", "Value": [reason]}} for each, reason in self.failed]
            found["00081198"] = {"vr": "SQ", "Value": items}
        return identifiers.write(found, transfer_syntax_uid)


def _item(reference: Reference) -> DicomJson:
    return {
        "00081150": {"vr": "UI", "Value": [reference[0]]},
        "00081155": {"vr": "UI", "Value": [reference[1]]},
    }


class Callback(Protocol):
    """The association on which a commitment was asked for."""

    async def report(self, report: Report) -> int | None:
        """Send the report; gives the status that the peer answers.

        Raises:
            AbandonedError: the association is over.
        """


class Reporting(Protocol):
    """New associations with those that wait for a report."""

    async def report(self, ae_title: str, known_as: str, report: Report) -> int | None:
        """As `Callback.report`.

        Args:
            ae_title: of the peer.
            known_as: our own, as the peer has called us.

        Raises:
            UnreachableError: the peer does not take our association, or nobody said where it is.
            AbandonedError: it went away.
        """


class Checker(Protocol):
    """Who knows what is held; `Library` is it."""

    async def check(self, references: Sequence[Reference], principal: Principal) -> list[Held]:
        """What is held, in the same order. Raises UnansweredError, UnheldError."""


class Events(Protocol):
    """Where a request becomes durable; `services.chassis.bus.Bus` is it."""

    async def say(self, event: CommitmentRequested, *, message_id: str | None = None) -> None:
        """Say it durably. Raises PassingFault."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    references: bytes
    callback: Callback


class InHand:
    """The transactions that wait for their report in this process, with the associations that asked."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str], _Waiting] = {}

    def add(self, event: CommitmentRequested, callback: Callback) -> None:
        """Remember one."""
        self._waiting[event.ae_title, event.transaction_uid] = _Waiting(event.references, callback)

    def references(self, event: CommitmentRequested) -> bytes | None:
        """What the same transaction has asked for, if it waits."""
        waiting = self._waiting.get((event.ae_title, event.transaction_uid))
        return waiting.references if waiting else None

    def callback(self, event: CommitmentRequested) -> Callback | None:
        """The association that asked."""
        waiting = self._waiting.get((event.ae_title, event.transaction_uid))
        return waiting.callback if waiting else None

    def remove(self, event: CommitmentRequested) -> None:
        """Forget one; not the first when a second used its Transaction UID."""
        if not event.duplicate:
            self._waiting.pop((event.ae_title, event.transaction_uid), None)


def request(asked: Asked) -> CommitmentRequested:
    """Read an N-ACTION (PS3.4 J.3.2).

    Raises:
        RefusedError: it asks for nothing that can be committed.
    """
    if asked.sop_class_uid != PUSH_MODEL:
        raise RefusedError(NO_SUCH_CLASS, "", "not the Push Model")
    if asked.sop_instance_uid != PUSH_MODEL_INSTANCE:
        raise RefusedError(NO_SUCH_INSTANCE, "", "not the well-known instance")
    if asked.action != ACTION_REQUEST:
        raise RefusedError(NO_SUCH_ACTION, "", "no such action")
    information = identifiers.read(asked.information, asked.transfer_syntax_uid)
    transaction = text(information, "TransactionUID")
    references = [
        (text(item, "ReferencedSOPClassUID"), text(item, "ReferencedSOPInstanceUID"))
        for item in information.get("00081199", {}).get("Value", ())
        if item
    ]
    if not uids.is_legal(transaction):
        raise RefusedError(INVALID_ARGUMENT, "00081195", "the Transaction UID is missing or none")
    if not references or not all(uids.is_legal(uid) for reference in references for uid in reference):
        raise RefusedError(INVALID_ARGUMENT, "00081199", "the references are missing or none")
    packed = pack(references)
    if len(packed) > _LONGEST_EVENT:
        raise RefusedError(RESOURCE_LIMITATION, "00081199", "too many references at a time")
    peer = asked.peer
    return CommitmentRequested(
        ae_title=peer.calling_ae_title,
        source=peer.address,
        called_ae_title=peer.called_ae_title,
        transaction_uid=transaction,
        references=packed,
        proved_by=peer.principal().proved_by,
    )


async def accept(asked: Asked, callback: Callback, *, events: Events, in_hand: InHand, log: Log) -> Response:
    """Take a request for commitment; the report follows (PS3.4 J.3.2.2). Gives the response to the N-ACTION."""
    try:
        event = request(asked)
        before = in_hand.references(event)
        if before is not None and before != event.references:
            event = replace(event, duplicate=True)
        else:
            in_hand.add(event, callback)  # asked again: the report goes where it was asked for last
        if before is None or event.duplicate:
            await events.say(event, message_id=uuid4().hex)
    except RefusedError as refused:
        return Response(refused.status, refused.reason)
    except PassingFault as fault:
        in_hand.remove(event)
        log.warning("commitment.not_taken", code=fault.code)
        return Response(RESOURCE_LIMITATION, fault.reason)
    log.info("commitment.requested", caller=event.ae_title, instances=len(unpack(event.references)))
    return Response(SUCCESS)


async def report(
    event: CommitmentRequested, *, checker: Checker, reporting: Reporting, in_hand: InHand, log: Log
) -> None:
    """Say of each instance whether it is safe, on the association that asked, or on a new one.

    Raises:
        PassingFault: it cannot be said now: the archive or the peer is away.
    """
    references = unpack(event.references)
    result = await _judged(event, references, checker)
    status: int | None = None
    callback = in_hand.callback(event)
    if callback is not None:
        try:
            status = await callback.report(result)
        except AbandonedError:
            callback = None
    if callback is None:
        try:
            status = await reporting.report(event.ae_title, event.called_ae_title, result)
        except AbandonedError:
            raise UnreachableError("peer-left") from None
    if status != SUCCESS:
        raise UnreachableError("peer-refused")
    in_hand.remove(event)
    log.info("commitment.reported", caller=event.ae_title, instances=len(result.committed), failed=len(result.failed))


async def _judged(event: CommitmentRequested, references: Sequence[Reference], checker: Checker) -> Report:
    if event.duplicate:
        return Report(event.transaction_uid, (), tuple((each, DUPLICATE_TRANSACTION) for each in references))
    principal = Principal(event.ae_title, proved_by=event.proved_by, source=event.source)
    held: list[Held] = []
    for start in range(0, len(references), _CHECKED_AT_ONCE):
        held += await checker.check(references[start : start + _CHECKED_AT_ONCE], principal)
    judged = list(zip(references, held, strict=True))
    return Report(
        event.transaction_uid,
        tuple(reference for reference, answer in judged if answer is Held.HELD),
        tuple((reference, _FAILURES[answer]) for reference, answer in judged if answer is not Held.HELD),
    )


def pack(references: Iterable[Reference]) -> bytes:
    """References as they travel in the event: thousands of UIDs differ in their last digits only."""
    return zlib.compress("\n".join(" ".join(reference) for reference in references).encode("ascii"), 6)


def unpack(packed: bytes) -> list[Reference]:
    """What `pack` has packed."""
    lines = zlib.decompress(packed).decode("ascii").split("\n")
    return [(sop_class, instance) for sop_class, _, instance in (line.partition(" ") for line in lines)]
