"""Requests that are no C-STORE: which use case answers each, under which span, and what is counted."""

from __future__ import annotations

import time
from collections.abc import Awaitable
from typing import Final

from opentelemetry import context
from opentelemetry.trace import SpanKind

from services.bridge.committing import PUSH_MODEL, Asked, Callback, Events, InHand, accept
from services.bridge.errors import AbandonedError
from services.bridge.exchanging import Response
from services.bridge.finding import find
from services.bridge.information import SERVICES, Operation
from services.bridge.model import CANNOT_UNDERSTAND, PROCESSING_FAILURE
from services.bridge.ports import Destinations, Exchange, Library, Requests, Transfers
from services.bridge.retrieving import get, move
from services.chassis import telemetry
from services.chassis.log import Log
from services.contracts import telemetry as names

UNRECOGNIZED_OPERATION: Final = 0x0211

_SPANS: Final = {
    Operation.FIND: names.SPAN_C_FIND,
    Operation.MOVE: names.SPAN_C_MOVE,
    Operation.GET: names.SPAN_C_GET,
}


def allowed(calling_ae_title: str, *, querying: frozenset[str], commits: bool) -> frozenset[str]:
    """The SOP classes, other than storage and verification, that a peer may use.

    Args:
        querying: the AE titles that may query and retrieve; empty: any.
        commits: storage commitment can be promised: there is a bus that keeps what was asked.
    """
    classes = frozenset(SERVICES) if not querying or calling_ae_title in querying else frozenset[str]()
    return classes | {PUSH_MODEL} if commits else classes


async def serve(
    exchange: Exchange,
    *,
    library: Library,
    destinations: Destinations,
    transfers: Transfers,
    ae_title: str,
    requests: Requests,
    log: Log,
) -> Response:
    """Answer a C-FIND, C-MOVE or C-GET; gives its last response.

    Raises:
        AbandonedError: the peer went away.
    """
    operation = SERVICES[exchange.request.sop_class_uid].operation
    match operation:
        case Operation.FIND:
            answer = find(exchange, library=library, ae_title=ae_title)
        case Operation.MOVE:
            answer = move(exchange, library=library, destinations=destinations, transfers=transfers)
        case Operation.GET:
            answer = get(exchange, library=library, sink=exchange.sink())
    caller = exchange.request.peer.calling_ae_title
    return await _observed(answer, _SPANS[operation], caller, failure=CANNOT_UNDERSTAND, requests=requests, log=log)


async def take(
    asked: Asked, callback: Callback, *, events: Events | None, in_hand: InHand, requests: Requests, log: Log
) -> Response:
    """Answer an N-ACTION for storage commitment; `events` is None where none was offered."""
    if events is None:
        return Response(UNRECOGNIZED_OPERATION, "storage commitment is not offered")
    answer = accept(asked, callback, events=events, in_hand=in_hand, log=log)
    caller = asked.peer.calling_ae_title
    return await _observed(answer, names.SPAN_N_ACTION, caller, failure=PROCESSING_FAILURE, requests=requests, log=log)


async def _observed(
    answer: Awaitable[Response], span_name: str, caller: str, *, failure: int, requests: Requests, log: Log
) -> Response:
    started = time.perf_counter()
    response = Response(failure, "internal")
    try:
        with telemetry.span(span_name, kind=SpanKind.SERVER, parent=context.Context()) as span:
            try:
                response = await answer
            except AbandonedError:
                log.info("request.abandoned", caller=caller, operation=span_name)
                raise
            except Exception as error:  # noqa: BLE001  # whatever it is, the peer must hear that it did not work
                log.error("request.failed", error, operation=span_name)
            span.set_attribute(names.OUTCOME, f"{response.status:04X}")
    finally:
        requests.answered(span_name, f"{response.status:04X}", time.perf_counter() - started)
    done = response.counts.completed if response.counts else 0
    log.info("request.answered", caller=caller, operation=span_name, status=f"{response.status:04X}", instances=done)
    return response
