"""What we change in pynetdicom's upper layer, through its public attributes.

Out of the box it gathers a data set in memory (or in a temporary file that stays behind when the sender vanishes),
reads PDUs of any length that the peer claims, and waits for ever for the rest of one. Here a data set goes on as it
arrives, a PDU has a longest length, and a silent peer is let go.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from functools import partial
from io import BytesIO
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import _config
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import C_STORE_RQ, DIMSEMessage
from pynetdicom.pdu_primitives import SOPClassCommonExtendedNegotiation
from pynetdicom.presentation import PresentationContext

from services.bridge.adapters.threads import Transfer
from services.bridge.model import Answer, is_storage, known_syntaxes

STORAGE_SERVICE_CLASS = "1.2.840.10008.4.2"
VERIFICATION_SOP_CLASS = "1.2.840.10008.1.1"
_LONGEST_PDU = 1024 * 1024
"""More than any peer sends who keeps to the length that we announce, and room for the longest association request."""

Begin = Callable[[Any], Transfer | None]


def quiet() -> None:
    """Keep pynetdicom from describing messages: its texts may quote a data set."""
    _config.LOG_HANDLER_LEVEL = "none"
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)


def fit(assoc: Association, *, begin: Begin, max_pdu_bytes: int, timeout_seconds: float) -> Callable[[], None]:
    """Change an association that was just connected, before its threads start.

    Args:
        assoc: an acceptor.
        begin: called with a C-STORE request's message before the first byte of its data set.
        max_pdu_bytes: the length that we announce.
        timeout_seconds: how long the peer may be silent in the middle of a PDU.

    Returns:
        What closes the connection at its end: pynetdicom does not when the peer closed first.
    """
    # Once the service has drained, a thread that hangs in a system call must not keep the process.
    assoc.daemon = assoc.dul.daemon = True
    assoc.dimse = _Dimse(assoc, begin)
    transport = assoc.dul.socket
    assert transport is not None and transport.socket is not None  # noqa: S101  # just connected
    connection = transport.socket
    connection.settimeout(timeout_seconds)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    longest = max(max_pdu_bytes, _LONGEST_PDU)
    # `recv` is all that the reader uses, always with an exact count.
    transport.recv = partial(_receive, connection, longest)  # type: ignore[method-assign]
    return connection.close


def let_go(assoc: Association) -> None:
    """End the thread of a connection that closed before it asked for anything, as a probe's does.

    It would wait for the request until its timeout, and count as an association for so long.
    """
    if assoc.requestor.primitive is None:
        assoc.dul.to_user_queue.put(None)  # what the wait gives back when nothing came


def offer(assoc: Association, *, accept_unknown: bool) -> None:
    """Accept of what the requestor proposes: verification, and all storage in every transfer syntax that we know.

    Made for each association from its own proposal: the full table (all classes in all syntaxes) would be copied for
    each, and could not hold the classes that nobody knows yet.
    """
    proposed: dict[str, list[str]] = {}
    for wanted in assoc.requestor.requested_contexts:
        proposed.setdefault(str(wanted.abstract_syntax), []).extend(map(str, wanted.transfer_syntax))
    assoc.acceptor.supported_contexts = [
        _context(uid, syntaxes)
        for uid, every in proposed.items()
        if (uid == VERIFICATION_SOP_CLASS or is_storage(uid, accept_unknown=accept_unknown))
        and (syntaxes := known_syntaxes(dict.fromkeys(every)))
    ]


def service_classes(assoc: Association) -> dict[UID, SOPClassCommonExtendedNegotiation]:
    """Send what `offer` accepted to the storage service, known to pynetdicom or not (PS3.7 D.3.3.6)."""
    found = {}
    for context in assoc.acceptor.supported_contexts:
        if context.abstract_syntax and context.abstract_syntax != VERIFICATION_SOP_CLASS:
            item = SOPClassCommonExtendedNegotiation()
            item.sop_class_uid = context.abstract_syntax
            item.service_class_uid = STORAGE_SERVICE_CLASS
            found[context.abstract_syntax] = item
    return found


def transfer_of(request: Any) -> Transfer | None:
    """The transfer that a C-STORE request's data set went into; `None` when it had none."""
    return getattr(request.DataSet, "transfer", None)


def status_of(answer: Answer) -> Dataset:
    """An answer as pynetdicom wants it: a data set of command elements."""
    status = Dataset()
    status.Status = answer.status
    if answer.comment:
        status.ErrorComment = answer.comment
    return status


def _context(abstract_syntax: str, transfer_syntaxes: list[str]) -> PresentationContext:
    context = PresentationContext()
    context.abstract_syntax = abstract_syntax
    context.transfer_syntax = [*transfer_syntaxes]
    return context


def _receive(connection: socket.socket, longest: int, count: int) -> bytearray:
    """Read `count` bytes, or fewer when the peer closes before.

    Raises:
        OSError: nobody sends so long a PDU in good faith, or the peer was silent for too long.
    """
    if count > longest:
        raise OSError("the PDU is too long")
    data = bytearray(count)
    view, got = memoryview(data), 0
    while got < count:
        read = connection.recv_into(view[got:])
        if not read:
            return data[:got]
        got += read
    return data


class _DataSet(BytesIO):
    """The data set of a message that is being received: it goes straight on, and is never held whole."""

    def __init__(self, message: DIMSEMessage, begin: Begin) -> None:
        super().__init__()
        self.transfer: Transfer | None = None
        self._begin: Begin | None = begin
        self._message = message

    def write(self, data: Any, /) -> int:
        """Take the next bytes. Of other messages than C-STORE requests they are dropped: none of ours has any."""
        if self._begin is not None:
            if isinstance(self._message, C_STORE_RQ):
                self.transfer = self._begin(self._message)
            self._begin = None
        if self.transfer is not None:
            self.transfer.write(data)
        return len(data)

    def finish(self) -> None:
        """The message is complete."""
        if self.transfer is not None:
            self.transfer.finish()


class _Dimse(DIMSEServiceProvider):
    """Receives messages; a C-STORE's data set leaves for ingest before its end has come."""

    def __init__(self, assoc: Association, begin: Begin) -> None:
        super().__init__(assoc)
        self._begin = begin
        self._data_set: _DataSet | None = None

    def receive_primitive(self, primitive: Any) -> None:
        """Take the next P-DATA of the peer."""
        if self.message is None:
            self.message = DIMSEMessage()
            self._data_set = self.message.data_set = _DataSet(self.message, self._begin)
        super().receive_primitive(primitive)
        complete = getattr(self, "message", None) is None  # it was let go
        if complete and self._data_set is not None:
            self._data_set.finish()
            self._data_set = None
