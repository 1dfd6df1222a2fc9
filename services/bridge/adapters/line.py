"""An association of pynetdicom as one thread at a time may use it: sending with back pressure, waiting for replies."""

from __future__ import annotations

import queue
import socket
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, Protocol, TypeVar

from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation

from services.bridge.adapters.upper_layer import Reactor
from services.bridge.errors import AbandonedError, UnreachableError
from services.bridge.exchanging import Address

T = TypeVar("T")

_LOOK_SECONDS: Final = 0.5
_QUICK_ACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)
_PDU_HEADER: Final = 6
_CONNECT_SECONDS: Final = 10.0
_PRIMITIVES_AHEAD: Final = 64


class Lend(Protocol):
    """Has a thread do what blocks."""

    def __call__(self, what: Callable[[], T], /) -> Awaitable[T]:
        """What `what` gives."""


class Line:
    """What blocks on an association: only the thread that is lent calls these."""

    def __init__(self, assoc: Association, *, patience: float) -> None:
        self.assoc = assoc
        self._patience = patience
        self._early: deque[Any] = deque()
        self.get = assoc.dimse.get_msg
        assoc.dul.to_provider_queue.maxsize = _PRIMITIVES_AHEAD  # a peer that is slow fills this, not our memory

    @property
    def gone(self) -> bool:
        """Whether the peer has left, or the connection broke."""
        assoc = self.assoc
        # What waits there once the association is open is a request to release it, or its abort.
        return not assoc.is_established or assoc.dul.peek_next_pdu() is not None or not assoc.dul.is_alive()

    def put(self, primitive: Any) -> None:
        """Send a P-DATA primitive.

        Raises:
            AbandonedError: the peer went away.
        """
        while not self.gone:
            try:
                self.assoc.dul.to_provider_queue.put(primitive, timeout=_LOOK_SECONDS)
            except queue.Full:
                continue
            return
        raise AbandonedError

    def reply(self, kind: type[Any], message_id: int) -> Any:
        """The response of a kind to our request of this Message ID; what else comes meanwhile waits its turn.

        Raises:
            AbandonedError: the peer went away, or did not answer in time.
        """
        until = time.monotonic() + self._patience
        while time.monotonic() < until and not self.gone:
            try:
                context_id, message = self.assoc.dimse.msg_queue.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                continue
            if isinstance(message, kind) and message.MessageIDBeingRespondedTo == message_id:
                return message
            if message is not None:
                self._early.append((context_id, message))
        raise AbandonedError

    def hasten(self) -> None:
        """Acknowledge the beginning of a response at once (Linux).

        Many peers, DCMTK among them, write a response in two pieces, and hold the second back until the first is
        acknowledged (Nagle), which the kernel puts off for 40 ms: nine tenths of what a small instance takes.
        """
        dul = self.assoc.dul
        if isinstance(dul, Reactor):
            return  # it always does
        transport = dul.socket
        if _QUICK_ACK is None or transport is None or transport.socket is None:
            return
        read, connection = transport.recv, transport.socket

        def recv(count: int) -> bytearray:
            data = read(count)
            if count == _PDU_HEADER:
                with suppress(OSError):  # it is gone, as the next step will find
                    connection.setsockopt(socket.IPPROTO_TCP, _QUICK_ACK, 1)
            return data

        transport.recv = recv  # type: ignore[method-assign,assignment]

    def next_request(self) -> tuple[Any, Any]:
        """The next message, if one is here; for the association's own loop."""
        return self._early.popleft() if self._early else self.get(block=False)


class Caller:
    """Opens associations as requestor."""

    def __init__(self, *, max_pdu_bytes: int, patience: float, acse_seconds: float | None = None) -> None:
        """Associations as our settings want them.

        Args:
            max_pdu_bytes: that we announce.
            patience: how long a peer may be silent.
            acse_seconds: how long it may take to negotiate and to release; without it, as long.
        """
        self._max_pdu_bytes = max_pdu_bytes
        self._patience = patience
        self._acse_seconds = acse_seconds or patience

    @contextmanager
    def call(
        self,
        ae_title: str,
        address: Address,
        contexts: Sequence[tuple[str, tuple[str, ...]]],
        *,
        calling: str,
        as_scp: bool = False,
    ) -> Iterator[Line]:
        """An association with an application entity, released at the end; blocks.

        Args:
            calling: our own AE title, as the peer knows us.
            contexts: SOP class and transfer syntaxes of each presentation context.
            as_scp: we are the SCP of these classes (PS3.7 D.3.3.4).

        Raises:
            UnreachableError: it does not take our association.
        """
        entity = AE(calling)
        entity.connection_timeout = _CONNECT_SECONDS
        entity.dimse_timeout = entity.network_timeout = self._patience
        entity.acse_timeout = self._acse_seconds
        for sop_class, syntaxes in contexts:
            entity.add_requested_context(sop_class, list(syntaxes))
        roles = [_provider(sop_class) for sop_class in dict.fromkeys(uid for uid, _ in contexts)] if as_scp else []
        connections: list[Any] = []
        assoc = entity.associate(
            address.host,
            address.port,
            ae_title=ae_title,
            max_pdu=self._max_pdu_bytes,
            ext_neg=roles,  # type: ignore[arg-type]  # invariant list
            evt_handlers=[(evt.EVT_CONN_OPEN, lambda event: connections.append(_prompt(event)))],
        )
        try:
            if not assoc.is_established:
                raise UnreachableError("peer-unreachable")
            line = Line(assoc, patience=self._patience)
            # Its own loop must not take the replies.
            assoc.dimse.get_msg = lambda block=False: (None, None)  # type: ignore[method-assign]
            yield line
        finally:
            if assoc.is_established:
                assoc.release()
            for connection in connections:  # pynetdicom leaves it open when the peer closed first
                connection.close()


def _prompt(event: Any) -> Any:
    """The connection of an association that was just opened; what is written on it leaves at once."""
    connection = event.assoc.dul.socket.socket
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _provider(sop_class_uid: str) -> SCP_SCU_RoleSelectionNegotiation:
    role = SCP_SCU_RoleSelectionNegotiation()
    role.sop_class_uid = sop_class_uid
    role.scu_role, role.scp_role = False, True
    return role
