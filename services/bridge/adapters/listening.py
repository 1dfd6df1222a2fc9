"""Ports on which associations are taken, with TLS or without, and the limit of connections that are none yet."""

from __future__ import annotations

import hashlib
import socket
import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.transport import AssociationSocket, RequestHandler, ThreadedAssociationServer

from services.bridge.adapters.upper_layer import Acceptor
from services.bridge.adapters.wire import Wire

_NOT_YET_OPEN: Final = 64
"""So many connections may be there, beyond the associations that are open, of which nothing is known yet."""


class Server(ThreadedAssociationServer):
    """A port; each connection becomes an `Acceptor`."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        entity: AE,
        address: tuple[str, int],
        *,
        tls: ssl.SSLContext | None,
        handlers: list[Any],
        opened: Callable[[Acceptor, str], None],
        ended: Callable[[Acceptor], None],
        failed: Callable[[BaseException], None],
        most: int,
        seconds: float,
    ) -> None:
        """Listen on `address`.

        Args:
            entity: our own.
            tls: how connections are secured (PS3.15 B).
            handlers: pynetdicom's.
            opened: called for each connection, with the fingerprint of the peer's certificate or "".
            ended: called when it is closed.
            failed: what no peer should be able to make happen is told to.
            most: how many associations there may be at a time.
            seconds: how long a peer may take for a PDU, and for TLS's handshake.
        """
        self.tls = tls
        self.opened, self.ended, self.failed = opened, ended, failed
        self.seconds = seconds
        self._room = threading.BoundedSemaphore(most + _NOT_YET_OPEN)
        super().__init__(entity, address, entity.ae_title, [], None, handlers, request_handler=_Connection)

    def start(self, name: str) -> None:
        """Take connections, in a thread of its own."""
        threading.Thread(target=self.serve_forever, name=name, daemon=True).start()

    def stop(self) -> None:
        """Take no more."""
        self.ae._servers.append(self)  # from where pynetdicom takes it away again
        self.shutdown()

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether there is room for one more connection."""
        return self._room.acquire(blocking=False)

    def left(self) -> None:
        """A connection has ended."""
        self._room.release()


class _Connection(RequestHandler):
    """A connection before its association, in a thread of its own: here TLS shakes hands, however slowly."""

    server: Server
    _wire: Wire
    _certificate = ""

    def handle(self) -> None:
        """Start an association on it."""
        try:
            self._wire = Wire(self._secured(), piece_seconds=self.server.seconds)
        except (OSError, ValueError):  # no TLS, no certificate that we trust, too slow, or gone
            self.server.shutdown_request(self.request)
            self.server.left()
            return
        assoc = self._create_association()
        assoc.start()

    def _secured(self) -> socket.socket:
        connection: socket.socket = self.request
        if self.server.tls is not None:
            connection.settimeout(self.server.ae.acse_timeout)
            self.request = secured = self.server.tls.wrap_socket(connection, server_side=True)
            if certificate := secured.getpeercert(binary_form=True):
                self._certificate = hashlib.sha256(certificate).hexdigest()
        result: socket.socket = self.request
        return result

    def _create_association(self) -> Association:
        assoc = Acceptor(self.ae, self._wire, ended=self._ended, failed=self.server.failed)
        assoc.name = f"AcceptorThread@{datetime.now(UTC):%Y%m%d%H%M%S}"  # as pynetdicom names it
        assoc._server = self.server
        assoc.set_socket(AssociationSocket(assoc, client_socket=self.request))
        assoc.acceptor.maximum_length = self.ae.maximum_pdu_size
        assoc.acceptor.ae_title = self.server.ae_title
        assoc.acceptor.address_info = self.local
        assoc.acceptor.implementation_class_uid = self.ae.implementation_class_uid
        assoc.acceptor.implementation_version_name = self.ae.implementation_version_name
        assoc.requestor.address_info = self.remote
        for event, bound in self.server._handlers.items():
            for handler, arguments in bound if isinstance(bound, list) else [bound]:
                assoc.bind(event, handler, arguments)
        self.server.opened(assoc, self._certificate)
        return assoc

    def _ended(self, assoc: Acceptor) -> None:
        self.server.ended(assoc)
        self.server.left()
