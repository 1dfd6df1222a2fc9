"""pynetdicom's upper layer without its polling: who waits, waits in the system until there is something to do.

pynetdicom runs an association in two threads. `Reactor` is the one at the network: it works the state machine of PS3.8,
and does C-STORE by itself, from the first byte to the response. `Acceptor` is the other one: it answers every other
request, as pynetdicom does, but sleeps until one has come.
"""

from __future__ import annotations

import queue
import struct
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any, Final, Protocol, Self

from pynetdicom import AE
from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.association import Association
from pynetdicom.dul import _PDU_TYPES, DULServiceProvider
from pynetdicom.pdu import A_ABORT_RQ
from pynetdicom.pdu_primitives import P_DATA

from services.bridge import commands
from services.bridge.adapters.incoming import Incoming, InterruptedMessage, Transfer
from services.bridge.adapters.wire import Wire
from services.bridge.commands import P_DATA_TF, StoreRequest
from services.bridge.errors import AbandonedError, MalformedError
from services.bridge.model import CANNOT_UNDERSTAND, NO_SUCH_SOP_CLASS, Announced, Answer
from services.contracts.calls import FILE_CHUNK_BYTES
from services.dicom.part10 import file_header

_LOOK_SECONDS: Final = 1.0
_CLOSED, _INVALID, _P_DATA, _ACCEPTED, _ARTIM = "Evt17", "Evt19", "Evt10", "Evt7", "Evt18"  # PS3.8 9.2.2
_RELEASED: Final = ("Evt13", "Evt14")
_OURS: Final = ("Evt7", "Evt8", "Evt9", "Evt11", "Evt14", "Evt15")
"""What we say, as against what comes from the network."""
_IDLE, _OPEN, _RELEASING, _CLOSING = "Sta1", "Sta6", "Sta7", "Sta13"  # PS3.8 9.2.1


class Session(Protocol):
    """What an open association is to those who carry what it brings; a context, in the thread that reads."""

    ending: str
    """Set before it is left: `released` or `aborted`."""

    def __enter__(self) -> Self:
        """The association is open."""

    def __exit__(self, *_: object) -> None:
        """It has ended."""

    def store(self, transfer: Transfer) -> Answer:
        """Store an instance, and say what to tell the sender."""


class _Rung(queue.Queue[Any]):
    """A queue that wakes its reader."""

    def __init__(self, ring: Callable[[], None]) -> None:
        super().__init__()
        self._ring = ring

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        super().put(item, block, timeout)
        self._ring()


class _Turns(threading.Event):
    """Where the loop of an association stops between two turns: until there is news, and while it is paused."""

    def __init__(self) -> None:
        super().__init__()
        self._news = threading.Event()
        self._queues: tuple[queue.Queue[Any], ...] = ()

    def watch(self, *queues: queue.Queue[Any]) -> None:
        """Do not stop while there is something in one of them."""
        self._queues = queues

    def news(self) -> None:
        """Let it make a turn."""
        self._news.set()

    def set(self) -> None:
        super().set()
        self._news.set()

    def wait(self, timeout: float | None = None) -> bool:
        self._news.clear()
        if all(each.empty() for each in self._queues):
            self._news.wait(_LOOK_SECONDS)
        return super().wait(timeout)


class Acceptor(Association):
    """An association that a peer has opened, or is about to."""

    def __init__(
        self,
        entity: AE,
        wire: Wire,
        *,
        ended: Callable[[Acceptor], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        """Make ready for a connection.

        Args:
            entity: our own.
            wire: the connection.
            ended: called when it is closed, in the thread at the network.
            failed: what no peer should be able to make happen is told to.
        """
        super().__init__(entity, MODE_ACCEPTOR)
        # Once the service has drained, a thread that hangs in a system call must not keep the process.
        self.daemon = True
        self._reactor_checkpoint = turns = _Turns()
        turns.set()
        self.turn = turns.news
        self.ended = ended
        self.session: Callable[[], Session] | None = None
        self.dul = self.reactor = Reactor(self, wire, failed=failed)
        self.dul.to_user_queue = _Rung(turns.news)
        self.dimse.msg_queue = _Rung(turns.news)
        turns.watch(self.dul.to_user_queue, self.dimse.msg_queue)
        self.acse_timeout = entity.acse_timeout  # again: it sets a timer of the reactor
        self.network_timeout = entity.network_timeout

    @property
    def storing(self) -> bool:
        """Whether an instance is being received, or its sender waits for the answer."""
        return self.reactor.storing


class Reactor(DULServiceProvider):
    """The thread at the network."""

    def __init__(self, assoc: Acceptor, wire: Wire, *, failed: Callable[[BaseException], None]) -> None:
        super().__init__(assoc)
        self.daemon = True
        self.storing = False
        self.to_provider_queue = _Rung(wire.wake)
        self.event_queue = _Rung(wire.wake)
        self._acceptor = assoc
        self._wire = wire
        self._failed = failed
        self._session: Session | None = None
        self._ending = "aborted"
        self._incoming = Incoming(wire, store=self._store, other=self._other, chunk_bytes=FILE_CHUNK_BYTES)

    def run_reactor(self) -> None:
        """Work until the connection is closed."""
        self._idle_timer.start()
        self._acceptor._dul_ready.set()
        with ExitStack() as session:
            try:
                while not self._kill_thread:
                    self._turn(session)
            except Exception as error:  # noqa: BLE001  # whatever it is, the peer must not wait for us
                self._failed(error)
                self._break_off()
            finally:
                if self._session is not None:
                    self._session.ending = self._ending
        self._wire.close()
        self._incoming.release()
        if self._acceptor.requestor.primitive is None:
            waiting: Any = self.to_user_queue  # its type names primitives only
            waiting.put(None)  # what the wait for an association request gives back when none came
        self._acceptor.ended(self._acceptor)
        self._acceptor.turn()

    def kill_dul(self) -> None:
        """End the thread."""
        self._kill_thread = True
        self._wire.wake()

    def stop_dul(self) -> bool:
        """End the thread if the connection is closed; whether it was."""
        if self.state_machine.current_state != _IDLE:
            return False
        self.kill_dul()
        if threading.current_thread() is not self:
            self.join()
        return True

    def _turn(self, session: ExitStack) -> None:
        if self.artim_timer.expired:
            self.event_queue.put(_ARTIM)
        if not self._process_recv_primitive() and self._is_transport_event():
            self._idle_timer.restart()
        with suppress(queue.Empty):
            event = self.event_queue.get(block=False)
            if event in _OURS and self.state_machine.current_state == _CLOSING:
                self.to_provider_queue.get(block=False)  # the peer was faster: nobody hears it any more
                return
            self.state_machine.do_action(event)
            if event in _RELEASED:
                self._ending = "released"
            elif event == _ACCEPTED and self._acceptor.session is not None:
                self._session = session.enter_context(self._acceptor.session())

    def _is_transport_event(self) -> bool:
        idle = self.event_queue.empty() and not self._kill_thread
        if not self._wire.wait(min(_LOOK_SECONDS, max(self.artim_timer.remaining, 0)) if idle else 0):
            return False
        if self.state_machine.current_state == _CLOSING:
            # The peer closes (PS3.8 9.2.3, AR-5), or the timer ends it. Whatever it still says is not heard.
            if not self._wire.discard() and self.socket is not None:
                self.socket.close()
        else:
            self._read_pdu_data()
        return True

    def _read_pdu_data(self) -> None:
        try:
            kind, length = self._incoming.header()
            if kind == P_DATA_TF and self.state_machine.current_state == _OPEN:
                try:
                    self._incoming.take(length)
                except InterruptedMessage as interrupted:
                    kind, length = interrupted.kind, interrupted.length
                else:
                    return
            self._pdu(kind, length)
        except AbandonedError:
            self.event_queue.put(_CLOSED)
        except MalformedError:
            self.event_queue.put(_INVALID)

    def _pdu(self, kind: int, length: int) -> None:
        body = self._wire.read(length)
        if kind == P_DATA_TF and self.state_machine.current_state == _RELEASING:
            return  # the peer will hear that we release; what it began before gets no answer
        pdu_class, event = _PDU_TYPES[bytes([kind])]
        pdu: Any = pdu_class()
        try:
            pdu.decode(struct.pack(">BxI", kind, length) + body)
            if kind != P_DATA_TF:
                pdu.to_primitive()  # it checks more; the state machine does it again
        except Exception:  # noqa: BLE001  # pynetdicom raises whatever it stumbles over in what a peer sent
            raise MalformedError from None
        self._recv_pdu.put(pdu)
        self.event_queue.put(event)

    def _other(self, context_id: int, control: int, fragment: bytes) -> None:
        primitive = P_DATA()
        primitive.presentation_data_value_list.append((context_id, bytes([control]) + fragment))
        try:
            self._acceptor.dimse.receive_primitive(primitive)
        except Exception:  # noqa: BLE001  # as above
            raise MalformedError from None

    def _store(self, context_id: int, request: StoreRequest) -> None:
        context = self._acceptor._accepted_cx.get(context_id)
        if context is None or self._session is None:
            raise MalformedError
        self.storing = True
        try:
            announced = Announced(request.sop_class_uid, request.sop_instance_uid, str(context.transfer_syntax[0]))
            answer = self._answer(context, announced, self._session) if request.has_data_set else _NO_DATA_SET
        finally:
            self.storing = False
        response = commands.store_response(request, answer.status, answer.comment)
        self._wire.send(b"".join(commands.pdus(context_id, response, self._acceptor.requestor.maximum_length or 0)))
        self._idle_timer.restart()

    def _answer(self, context: Any, announced: Announced, session: Session) -> Answer:
        # Without the AE title of the sender, which the audit log has: whoever sends an instance, it is the same file.
        header = file_header(
            transfer_syntax_uid=announced.transfer_syntax_uid,
            sop_class_uid=announced.sop_class_uid,
            sop_instance_uid=announced.sop_instance_uid,
        )
        transfer = Transfer(announced, self._incoming.chunks(context.context_id, header))
        if announced.sop_class_uid != context.abstract_syntax or not context.as_scp:
            answer = _OTHER_CLASS
        else:
            answer = session.store(transfer)
        transfer.finish()
        return answer

    def _break_off(self) -> None:
        abort = A_ABORT_RQ()
        abort.source, abort.reason_diagnostic = 0x02, 0x00
        with suppress(AbandonedError):
            self._wire.send(abort.encode())
        self._acceptor.is_aborted, self._acceptor.is_established = True, False
        self._acceptor._kill = self._kill_thread = True


_NO_DATA_SET: Final = Answer(CANNOT_UNDERSTAND, "the request holds no data set")
_OTHER_CLASS: Final = Answer(NO_SUCH_SOP_CLASS, "not the SOP class of the presentation context")
