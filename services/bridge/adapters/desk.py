"""Requests of an association that our own code answers, and requests of ours to its peer.

pynetdicom serves an association in one thread, which waits while a request is answered. Here the answer is a coroutine
of the event loop, and the waiting thread does for it what blocks: sending, and waiting for the peer. So no other thread
touches the association, and none is taken from a pool.
"""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from io import BytesIO
from typing import Any, Final, TypeVar

from pydicom.tag import Tag
from pydicom.uid import UID
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_FIND, C_GET, C_MOVE, N_ACTION

from services.bridge.adapters.line import Line
from services.bridge.adapters.storing import AssociationSink
from services.bridge.committing import Asked
from services.bridge.errors import AbandonedError
from services.bridge.exchanging import CANCELLED, PENDING, PENDING_WITH_WARNING, Request, Response
from services.bridge.information import SERVICES, Operation
from services.bridge.model import NO_SUCH_SOP_CLASS, Peer
from services.bridge.ports import Sink

T = TypeVar("T")

_LOOK_SECONDS: Final = 0.5
_OURS: Final = (C_FIND, C_GET, C_MOVE, N_ACTION)


class LentThread:
    """A thread that waits for a coroutine, and meanwhile does what the coroutine asks of it."""

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()

    def wait_for(self, answer: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop) -> T:
        """Run `answer` in the event loop until it ends; called in the thread that is lent."""
        future = asyncio.run_coroutine_threadsafe(answer, loop)
        future.add_done_callback(lambda _: self._work.put(None))
        while (job := self._work.get()) is not None:
            job()
        return future.result()

    async def do(self, what: Callable[[], T]) -> T:
        """Let the thread do `what`; called by the coroutine."""
        done, job = _job(what)
        self._work.put(job)
        return await asyncio.wrap_future(done)


def _job(what: Callable[[], T]) -> tuple[Future[T], Callable[[], None]]:
    """What does `what` when it is called, and where its result appears."""
    done: Future[T] = Future()

    def job() -> None:
        if done.set_running_or_notify_cancel():
            try:
                done.set_result(what())
            except BaseException as error:  # noqa: BLE001  # it belongs to whoever asked for the work
                done.set_exception(error)

    return done, job


class DimseExchange:
    """`Exchange` over an association."""

    def __init__(self, line: Line, thread: LentThread, message: Any, context_id: int, request: Request) -> None:
        self.request = request
        self.lend = thread.do
        self._line = line
        self._message = message
        self._context_id = context_id

    @property
    def cancelled(self) -> bool:
        """Whether a C-CANCEL has come for it."""
        return self.request.message_id in self._line.assoc.dimse.cancel_req

    def sink(self) -> Sink:
        """See `Exchange.sink`."""
        return AssociationSink(self._line, self.lend, first_message_id=self.request.message_id + 1)

    async def answer(self, *responses: Response) -> None:
        """See `Exchange.answer`. Those that are left are not sent any more once the peer cancels."""
        if responses:
            await self.lend(partial(self._send, responses))

    def _send(self, responses: tuple[Response, ...]) -> None:
        for response in responses:
            pending = response.status in (PENDING, PENDING_WITH_WARNING)
            if pending and self.cancelled:
                return
            self.send(response)

    def send(self, response: Response) -> None:
        """Send one response; for the thread.

        Raises:
            AbandonedError: the peer went away.
        """
        if self._line.gone:
            raise AbandonedError
        self._line.assoc.dimse.send_msg(self._primitive(response), self._context_id)

    def _primitive(self, response: Response) -> Any:
        primitive = type(self._message)()
        primitive.MessageIDBeingRespondedTo = self.request.message_id
        primitive.AffectedSOPClassUID = self.request.sop_class_uid
        primitive.Status = response.status
        if response.comment:
            primitive.ErrorComment = response.comment[:64]
        if response.offending:
            primitive.OffendingElement = [Tag(int(response.offending, 16))]
        if response.identifier:
            primitive.Identifier = BytesIO(response.identifier)
        if response.counts is not None:
            if response.status in (PENDING, CANCELLED):  # no other may say what remains (PS3.4 C.4.2.1.6)
                primitive.NumberOfRemainingSuboperations = response.counts.remaining
            primitive.NumberOfCompletedSuboperations = response.counts.completed
            primitive.NumberOfFailedSuboperations = response.counts.failed
            primitive.NumberOfWarningSuboperations = response.counts.warning
        return primitive


class Desk:
    """Stands between an association and pynetdicom's loop, and takes out the requests that are ours.

    Made when the association is, before its threads start.
    """

    def __init__(
        self,
        assoc: Association,
        *,
        loop: asyncio.AbstractEventLoop,
        peer: Callable[[], Peer],
        answer: Callable[[DimseExchange], Awaitable[Response]],
        commit: Callable[[Asked, Desk], Awaitable[Response]],
        patience: float,
        wake: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._wake = wake  # its loop sleeps while no message comes
        self._peer = peer
        self._answer = answer
        self._commit = commit
        self._errands: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._idle = asyncio.Event()
        self._idle.set()
        self.line = Line(assoc, patience=patience)
        assoc.dimse.get_msg = self._get_msg  # type: ignore[method-assign]  # where its loop looks for requests

    async def between(self) -> None:
        """Return when no request is being answered."""
        await self._idle.wait()

    async def do(self, what: Callable[[], T]) -> T:
        """Let the association's own loop do `what` between two requests; what it raises is raised here.

        Raises:
            AbandonedError: the association has ended.
        """
        done, errand = _job(what)
        self._errands.put(errand)
        self._wake()
        waiting = asyncio.ensure_future(asyncio.wrap_future(done))
        while not waiting.done():
            if self.line.gone and done.cancel():  # nobody is there to begin it
                raise AbandonedError
            await asyncio.wait({waiting}, timeout=_LOOK_SECONDS)
        return waiting.result()

    # In the association's thread from here on.

    def _get_msg(self, block: bool = False) -> Any:
        if block:
            return self.line.get(block=True)
        while not self._errands.empty():
            self._errands.get()()
        context_id, message = self.line.next_request()
        if not isinstance(message, _OURS):
            return context_id, message
        context = next((each for each in self.line.assoc.accepted_contexts if each.context_id == context_id), None)
        if context is None or message.MessageID is None:
            self.line.assoc.abort()
            return None, None
        self.line.assoc.dimse.cancel_req.clear()
        with suppress(AbandonedError):
            if isinstance(message, N_ACTION):
                self._serve_action(message, context)
            else:
                self._serve_query(message, context)
        # Only what the peer sends counts as its sign of life, and it had to wait for us.
        self.line.assoc.dul._idle_timer.restart()
        self._wake()  # something may have come meanwhile
        return None, None

    def _serve_query(self, message: Any, context: Any) -> None:
        request = Request(
            peer=self._peer(),
            sop_class_uid=str(message.AffectedSOPClassUID or ""),
            message_id=message.MessageID,
            identifier=message.Identifier.getvalue() if message.Identifier else b"",
            transfer_syntax_uid=str(context.transfer_syntax[0]),
            relational=self._is_relational(str(context.abstract_syntax)),
            destination=str(getattr(message, "MoveDestination", "") or "").strip(),
        )
        thread = LentThread()
        exchange = DimseExchange(self.line, thread, message, context.context_id, request)
        if SERVED.get(request.sop_class_uid) is not type(message) or request.sop_class_uid != context.abstract_syntax:
            exchange.send(Response(NO_SUCH_SOP_CLASS, "not a service of this presentation context"))
            return
        exchange.send(thread.wait_for(self._at_work(self._answer(exchange)), self._loop))

    def _serve_action(self, message: Any, context: Any) -> None:
        asked = Asked(
            peer=self._peer(),
            sop_class_uid=str(message.RequestedSOPClassUID or ""),
            sop_instance_uid=str(message.RequestedSOPInstanceUID or ""),
            action=message.ActionTypeID or 0,
            information=message.ActionInformation.getvalue() if message.ActionInformation else b"",
            transfer_syntax_uid=str(context.transfer_syntax[0]),
        )
        response = LentThread().wait_for(self._at_work(self._commit(asked, self)), self._loop)
        answer: Any = N_ACTION()
        answer.MessageIDBeingRespondedTo = message.MessageID
        answer.AffectedSOPClassUID = message.RequestedSOPClassUID
        answer.AffectedSOPInstanceUID = message.RequestedSOPInstanceUID
        answer.ActionTypeID = message.ActionTypeID
        answer.Status = response.status
        if response.comment:
            answer.ErrorComment = response.comment[:64]
        if not self.line.gone:
            self.line.assoc.dimse.send_msg(answer, context.context_id)

    async def _at_work(self, answer: Awaitable[Response]) -> Response:
        self._idle.clear()
        try:
            return await answer
        finally:
            self._idle.set()

    def _is_relational(self, sop_class_uid: str) -> bool:
        stated = self.line.assoc.requestor.sop_class_extended.get(UID(sop_class_uid), b"")
        return stated[:1] == b"\x01"


SERVED: Final[Mapping[str, type[Any]]] = {
    uid: {Operation.FIND: C_FIND, Operation.MOVE: C_MOVE, Operation.GET: C_GET}[service.operation]
    for uid, service in SERVICES.items()
}
"""The message that asks for each SOP class of the Query/Retrieve service class."""
