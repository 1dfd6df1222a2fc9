"""The DIMSE edge: C-ECHO and C-STORE as SCP (PS3.4 A and B) for every storage class, in every transfer syntax.

Queries, retrievals and commitments are taken out at a `Desk` (PS3.4 C and J).

The `_on_…` methods are called in the threads of associations. They decide who may come in and what is offered to whom;
what an association brings is carried by `handlers.Reception`, in the thread that reads it.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine
from typing import Any, Final

from pynetdicom import AE, evt

from services.bridge.adapters import pynetdicom as negotiation
from services.bridge.adapters.desk import Desk, DimseExchange
from services.bridge.adapters.listening import Server
from services.bridge.adapters.upper_layer import Acceptor, Session
from services.bridge.committing import Asked
from services.bridge.exchanging import Response
from services.bridge.model import Admission, Peer, Rejection
from services.bridge.ports import Tally
from services.chassis.faults import PermanentFault
from services.chassis.log import Log

_PATIENCE: Final = 3  # times what a store may take: the event loop gives up first, and says why
_NO_LIMIT: Final = 1_000_000  # pynetdicom's own counts connections that have asked for nothing yet
_LOOK_SECONDS: Final = 0.02
_REJECTED: Final = {  # result, source, reason (PS3.8 9.3.4)
    Rejection.CALLED_AE_TITLE: (1, 1, 7),
    Rejection.CALLING_AE_TITLE: (1, 1, 3),
    Rejection.LIMIT: (2, 3, 2),
}


class Listener:
    """Our application entity on the network. `start`, then `serve`."""

    def __init__(
        self,
        *,
        receive: Callable[[Peer], Session],
        serve: Callable[[DimseExchange], Awaitable[Response]],
        commit: Callable[[Asked, Desk], Awaitable[Response]],
        refused: Callable[[Peer, Rejection], Coroutine[Any, Any, None]],
        entered: Callable[[Peer], Coroutine[Any, Any, None]],
        services: Callable[[str], Collection[str]],
        admission: Admission,
        accept_unknown: bool,
        max_associations: int,
        max_pdu_bytes: int,
        network_seconds: float,
        acse_seconds: float,
        store_seconds: float,
        tally: Tally,
        log: Log,
    ) -> None:
        self._receive = receive
        self._serve = serve
        self._commit = commit
        self._refused = refused
        self._entered = entered
        self._services = services
        self._admission = admission
        self._accept_unknown = accept_unknown
        self._max_associations = max_associations
        self._patience = _PATIENCE * store_seconds
        self._network_seconds = network_seconds
        self._tally = tally
        self._log = log
        self._lock = threading.Lock()
        self._peers: dict[Acceptor, Peer] = {}
        """Of the connections that are there."""
        self._admitted: set[Acceptor] = set()
        self._desks: dict[Acceptor, Desk] = {}
        self._servers: list[Server] = []
        negotiation.quiet()
        self._entity = AE(admission.ae_title)
        self._entity.maximum_associations = _NO_LIMIT
        self._entity.maximum_pdu_size = max_pdu_bytes
        self._entity.network_timeout = network_seconds
        self._entity.acse_timeout = acse_seconds

    def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        """Listen on `host:port`; may be called for several ports.

        Raises:
            PermanentFault: the port is taken.
        """
        self._loop = asyncio.get_running_loop()
        try:
            server = Server(
                self._entity,
                (host, port),
                tls=tls,
                handlers=[
                    (evt.EVT_REQUESTED, self._on_requested),
                    (evt.EVT_SOP_EXTENDED, lambda event: negotiation.relational(event.app_info)),
                    (evt.EVT_RELEASED, self._on_end),
                    (evt.EVT_ABORTED, self._on_end),
                ],
                opened=self._on_open,
                ended=self._on_close,
                failed=lambda error: self._log.error("association.failed", error),
                most=self._max_associations,
                seconds=self._network_seconds,
            )
        except OSError:
            raise PermanentFault("port-taken", f"DIMSE cannot listen on port {port} of {host}") from None
        server.start(f"dimse-{port}")
        self._servers.append(server)
        self._log.info("dimse.listening", host=host, port=port, ae_title=self._admission.ae_title, tls=tls is not None)

    async def answers(self) -> None:
        """Raise unless somebody is there to take a connection; for `/readyz`."""
        if any(server.socket is None or server.socket.fileno() < 0 for server in self._servers):
            raise PermanentFault("not-listening", "DIMSE does not listen")

    async def serve(self, stopping: asyncio.Event, *, drain_seconds: float) -> None:
        """Serve until `stopping`; then take no more, finish what is in hand, release, and at last abort."""
        await stopping.wait()
        await asyncio.gather(*(asyncio.to_thread(server.stop) for server in self._servers))
        open_now = list(self._peers)
        releasing = [asyncio.create_task(self._release(assoc)) for assoc in open_now]
        await self._until_closed(drain_seconds)
        for task in releasing:
            task.cancel()
        for assoc, peer in list(self._peers.items()):
            self._log.warning("association.cut", caller=peer.calling_ae_title)
            threading.Thread(target=assoc.abort, daemon=True).start()
        await self._until_closed(2)

    async def _until_closed(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while self._peers and time.monotonic() < until:  # noqa: ASYNC110  # they end in other threads
            await asyncio.sleep(_LOOK_SECONDS)

    async def _release(self, assoc: Acceptor) -> None:
        while assoc.storing:  # noqa: ASYNC110  # in another thread
            await asyncio.sleep(_LOOK_SECONDS)
        if desk := self._desks.get(assoc):
            await desk.between()
        # In a thread of its own: it waits for the peer, and for pynetdicom. What is no association yet is let go.
        what = assoc.release if assoc.is_established else assoc.abort
        threading.Thread(target=what, daemon=True).start()

    # In the threads of associations from here on.

    def _on_open(self, assoc: Acceptor, certificate: str) -> None:
        peer = Peer("", "", str(assoc.requestor.address), certificate)
        with self._lock:
            self._peers[assoc] = peer
        self._desks[assoc] = Desk(
            assoc,
            loop=self._loop,
            peer=lambda: self._peers.get(assoc, peer),
            answer=self._serve,
            commit=self._commit,
            patience=self._patience,
            wake=assoc.turn,
        )

    def _on_requested(self, event: Any) -> None:
        assoc: Acceptor = event.assoc
        request: Any = assoc.requestor.primitive
        with self._lock:
            known = self._peers[assoc]
            peer = self._peers[assoc] = Peer(
                calling_ae_title=str(request.calling_ae_title).strip(),
                called_ae_title=str(request.called_ae_title).strip(),
                address=known.address,
                certificate=known.certificate,
            )
            reason = self._admission.rejection(peer)
            if reason is None and len(self._admitted) >= self._max_associations:
                reason = Rejection.LIMIT
            if reason is None:
                self._admitted.add(assoc)
        if reason is not None:
            self._reject(assoc, peer, reason)
            return
        asyncio.run_coroutine_threadsafe(self._entered(peer), self._loop)
        assoc.session = lambda: self._receive(peer)
        negotiation.offer(assoc, accept_unknown=self._accept_unknown, services=self._services(peer.calling_ae_title))

    def _reject(self, assoc: Acceptor, peer: Peer, reason: Rejection) -> None:
        self._tally.rejected(reason)
        self._log.warning("association.rejected", caller=peer.calling_ae_title, source=peer.address, reason=reason)
        asyncio.run_coroutine_threadsafe(self._refused(peer, reason), self._loop)
        assoc.acse.send_reject(*_REJECTED[reason])
        assoc.kill()  # once the peer has heard it and gone, or its time is over

    def _on_end(self, event: Any) -> None:
        with self._lock:
            self._admitted.discard(event.assoc)

    def _on_close(self, assoc: Acceptor) -> None:
        with self._lock:
            self._admitted.discard(assoc)
            self._peers.pop(assoc, None)
        self._desks.pop(assoc, None)
