"""The DIMSE edge: C-ECHO and C-STORE as SCP (PS3.4 A and B) for every storage class, in every transfer syntax.

pynetdicom calls the `_on_…` methods in its own threads. They decide nothing but who may come in; what an association
brings is carried by `handlers.receive` in the event loop, one task for each.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from pynetdicom import AE, evt
from pynetdicom.association import Association

from services.bridge.adapters import pynetdicom as upper_layer
from services.bridge.adapters.threads import Inbox, Transfer
from services.bridge.model import (
    CANNOT_UNDERSTAND,
    NO_SUCH_SOP_CLASS,
    Admission,
    Announced,
    Answer,
    Peer,
    Rejection,
)
from services.bridge.ports import Tally
from services.chassis.faults import PermanentFault
from services.chassis.log import Log
from services.contracts.calls import CHUNK_BYTES
from services.dicom.part10 import file_header

_INVALID_PDU = "Evt19"  # PS3.8 9.2.2: what makes pynetdicom's state machine abort
_PATIENCE = 3  # times what a store may take: the event loop gives up first, and says why


class Listener:
    """Our application entity on the network. `start`, then `serve`."""

    def __init__(
        self,
        *,
        receive: Callable[[Inbox], Awaitable[None]],
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
        self._admission = admission
        self._accept_unknown = accept_unknown
        self._max_pdu_bytes = max_pdu_bytes
        self._network_seconds = network_seconds
        self._patience = _PATIENCE * store_seconds
        self._tally = tally
        self._log = log
        self._inboxes: dict[Association, Inbox] = {}
        self._closers: dict[Association, Callable[[], None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        upper_layer.quiet()
        self._entity = AE(admission.ae_title)
        self._entity.add_supported_context(upper_layer.VERIFICATION_SOP_CLASS)
        self._entity.maximum_associations = max_associations
        self._entity.maximum_pdu_size = max_pdu_bytes
        self._entity.network_timeout = network_seconds
        self._entity.acse_timeout = acse_seconds
        self._entity.require_called_aet = not admission.any_called
        self._entity.require_calling_aet = sorted(admission.calling)

    def start(self, host: str, port: int) -> None:
        """Listen on `host:port`.

        Raises:
            PermanentFault: the port is taken.
        """
        self._loop = asyncio.get_running_loop()
        handlers: list[Any] = [
            (evt.EVT_CONN_OPEN, self._on_open),
            (evt.EVT_REQUESTED, self._on_requested),
            (evt.EVT_SOP_COMMON, lambda event: upper_layer.service_classes(event.assoc)),
            (evt.EVT_REJECTED, self._on_rejected),
            (evt.EVT_ESTABLISHED, self._on_established),
            (evt.EVT_C_STORE, self._on_c_store),
            (evt.EVT_RELEASED, partial(self._on_end, ending="released")),
            (evt.EVT_ABORTED, partial(self._on_end, ending="aborted")),
            (evt.EVT_CONN_CLOSE, self._on_close),
        ]
        try:
            self._server: Any = self._entity.start_server((host, port), block=False, evt_handlers=handlers)
        except OSError:
            raise PermanentFault("port-taken", f"DIMSE cannot listen on port {port} of {host}") from None
        self._log.info("dimse.listening", host=host, port=port, ae_title=self._admission.ae_title)

    async def answers(self) -> None:
        """Raise unless somebody is there to take a connection; for `/readyz`."""
        if self._server.socket.fileno() < 0:
            raise PermanentFault("not-listening", "DIMSE does not listen")

    async def serve(self, stopping: asyncio.Event, *, drain_seconds: float) -> None:
        """Serve until `stopping`; then take no more, finish what is in hand, release, and at last abort."""
        await stopping.wait()
        await asyncio.to_thread(self._server.shutdown)
        open_now = list(self._inboxes.items())
        releasing = [asyncio.create_task(self._release(assoc, inbox)) for assoc, inbox in open_now]
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=drain_seconds)
        for task in releasing:
            task.cancel()
        for assoc, inbox in open_now:
            if not inbox.ending:
                self._log.warning("association.cut", caller=inbox.peer.calling_ae_title)
                threading.Thread(target=assoc.abort, daemon=True).start()
                inbox.close("aborted")
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=2)

    async def _release(self, assoc: Association, inbox: Inbox) -> None:
        await inbox.between()
        await asyncio.sleep(0.05)  # the answer leaves first
        # In a thread of its own: it waits for the peer, and for pynetdicom.
        threading.Thread(target=assoc.release, daemon=True).start()

    # In pynetdicom's threads from here on.

    def _on_open(self, event: Any) -> None:
        assoc = event.assoc
        inbox = Inbox(self._loop, chunk_bytes=CHUNK_BYTES, alive=assoc.is_alive)
        self._inboxes[assoc] = inbox
        self._closers[assoc] = upper_layer.fit(
            assoc,
            begin=partial(self._begin, assoc, inbox),
            max_pdu_bytes=self._max_pdu_bytes,
            timeout_seconds=self._network_seconds,
        )

    def _on_requested(self, event: Any) -> None:
        upper_layer.offer(event.assoc, accept_unknown=self._accept_unknown)
        request = event.assoc.requestor
        self._inboxes[event.assoc].peer = Peer(
            calling_ae_title=str(request.primitive.calling_ae_title).strip(),
            called_ae_title=str(request.primitive.called_ae_title).strip(),
            address=str(request.address),
        )

    def _on_rejected(self, event: Any) -> None:
        peer = self._inboxes[event.assoc].peer
        reason = self._admission.rejection(peer) or Rejection.LIMIT
        self._tally.rejected(reason)
        self._log.warning("association.rejected", caller=peer.calling_ae_title, source=peer.address, reason=reason)

    def _on_established(self, event: Any) -> None:
        inbox = self._inboxes[event.assoc]
        self._loop.call_soon_threadsafe(self._carry, event.assoc, inbox)

    def _carry(self, assoc: Association, inbox: Inbox) -> None:
        task = asyncio.ensure_future(self._receive(inbox))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: self._inboxes.pop(assoc, None))

    def _begin(self, assoc: Association, inbox: Inbox, message: Any) -> Transfer | None:
        command = message.command_set
        announced = Announced(
            sop_class_uid=str(command.get("AffectedSOPClassUID") or ""),
            sop_instance_uid=str(command.get("AffectedSOPInstanceUID") or ""),
            transfer_syntax_uid=next(
                (str(c.transfer_syntax[0]) for c in assoc.accepted_contexts if c.context_id == message.context_id), ""
            ),
        )
        stated = (announced.sop_class_uid, announced.sop_instance_uid, announced.transfer_syntax_uid)
        if not all(uid and uid.isascii() for uid in stated) or "MessageID" not in command:
            # pynetdicom would leave such a request without an answer: end the association instead.
            assoc.dul.event_queue.put(_INVALID_PDU)
            return None
        if "Priority" not in command:  # some leave it out; for pynetdicom the request would be none
            command.Priority = 0
        # Without the AE title of the sender, which the audit log has: whoever sends an instance, it is the same file.
        header = file_header(
            transfer_syntax_uid=announced.transfer_syntax_uid,
            sop_class_uid=announced.sop_class_uid,
            sop_instance_uid=announced.sop_instance_uid,
        )
        return inbox.begin(announced, header, patience=self._patience)

    def _on_c_store(self, event: Any) -> Any:
        transfer = upper_layer.transfer_of(event.request)
        if transfer is None:
            return upper_layer.status_of(Answer(CANNOT_UNDERSTAND, "the request holds no data set"))
        if transfer.announced.sop_class_uid != event.context.abstract_syntax:
            return upper_layer.status_of(Answer(NO_SUCH_SOP_CLASS, "not the SOP class of the presentation context"))
        return upper_layer.status_of(transfer.wait(self._patience))

    def _on_end(self, event: Any, *, ending: str) -> None:
        inbox = self._inboxes.get(event.assoc)
        if inbox is not None:
            inbox.close(ending)

    def _on_close(self, event: Any) -> None:
        self._on_end(event, ending="aborted")
        self._inboxes.pop(event.assoc, None)
        if close := self._closers.pop(event.assoc, None):
            close()
        upper_layer.let_go(event.assoc)
