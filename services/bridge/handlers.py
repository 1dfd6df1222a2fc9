"""The one use case: carry what an association brings into the archive, and tell the sender what became of it."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Self

from opentelemetry import context
from opentelemetry.trace import SpanKind

from services.bridge.errors import AbandonedError, UndeliveredError
from services.bridge.model import PROCESSING_FAILURE, SUCCESS, Answer, Outcome, Peer, Reply
from services.bridge.ports import Archive, Delivery, Tally, Transfer
from services.chassis import telemetry
from services.chassis.log import Log
from services.contracts import telemetry as names


class Reception:
    """One association, from its opening to its end, in the thread that reads it.

    It is one delivery, unless the archive breaks that off: it opens with the first instance (a C-ECHO needs none) and
    ends with the association, however that ends.

    Attributes:
        ending: how it ended: `released` or `aborted`.
    """

    def __init__(self, peer: Peer, *, archive: Archive, tally: Tally, log: Log) -> None:
        self.ending = "aborted"
        self._peer = peer
        self._archive = archive
        self._tally = tally
        self._log = log
        self._instances = self._stored = 0
        self._span = ExitStack()
        self._parent = context.Context()
        self._open = ExitStack()
        self._delivery: Delivery | None = None

    def __enter__(self) -> Self:
        self._tally.opened()
        self._association = self._span.enter_context(
            telemetry.span(names.SPAN_ASSOCIATION, kind=SpanKind.SERVER, parent=context.Context())
        )
        # The spans of the instances stand beside the call that carries them, not under it.
        self._parent = context.get_current()
        self._log.info("association.opened", caller=self._peer.calling_ae_title, source=self._peer.address)
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._end_delivery()
            self._association.set_attributes({names.OUTCOME: self.ending, names.INSTANCES: self._instances})
            self._log.info(
                "association.closed",
                caller=self._peer.calling_ae_title,
                outcome=self.ending,
                instances=self._instances,
                stored=self._stored,
            )
            self._span.close()
        finally:
            self._tally.closed()

    def store(self, transfer: Transfer) -> Answer:
        """Store one instance; gives what its sender is told. Only what the archive has committed is 0000H."""
        self._instances += 1
        outcome, started = Outcome.UNAVAILABLE, time.perf_counter()
        try:
            delivery = self._current()
            with telemetry.span(names.SPAN_C_STORE, kind=SpanKind.SERVER, parent=self._parent) as span:
                try:
                    reply = delivery.store(transfer)
                    outcome = reply.outcome
                    if reply.reason_code:
                        span.set_attribute(names.REASON_CODE, reply.reason_code)
                except AbandonedError:
                    outcome = Outcome.ABANDONED
                    raise
                finally:
                    span.set_attributes({names.OUTCOME: outcome, names.BYTES: transfer.size})
        except (UndeliveredError, AbandonedError) as fault:
            self._log.warning("delivery.broken", code=fault.code)
            self._break_off()
            return Answer.of(Reply(Outcome.UNAVAILABLE, reason_code=fault.code, reason=fault.reason))
        except Exception as error:  # noqa: BLE001  # whatever it is, the sender must hear that nothing is stored
            self._log.error("delivery.failed", error)
            self._break_off()
            return Answer(PROCESSING_FAILURE, "internal")
        finally:
            self._tally.instance(outcome, transfer.size, time.perf_counter() - started)
        answer = Answer.of(reply)
        self._stored += answer.status == SUCCESS
        return answer

    def _current(self) -> Delivery:
        if self._delivery is not None and self._delivery.broken:
            self._break_off()
        if self._delivery is None:
            self._delivery = self._open.enter_context(self._archive.deliver(self._peer.principal()))
        return self._delivery

    def _break_off(self) -> None:
        if self._delivery is not None:
            self._delivery.cancel()
        self._end_delivery()

    def _end_delivery(self) -> None:
        self._delivery = None
        self._open.close()
