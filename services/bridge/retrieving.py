"""C-MOVE and C-GET: one instance after another, each a C-STORE sub-operation (PS3.4 C.4.2, C.4.3).

Bytes go as they are stored where the peer takes them so, uncompressed where it does not. No instance is held whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing

from services.bridge import identifiers
from services.bridge.errors import RefusedError, UnansweredError, UnheldError, UnreachableError
from services.bridge.exchanging import (
    CANCELLED,
    CANNOT_COUNT,
    CANNOT_SEND,
    DESTINATION_UNKNOWN,
    PENDING,
    Counts,
    Place,
    Recipient,
    Request,
    Response,
    chosen,
    proposals,
)
from services.bridge.information import SERVICES, retrieval
from services.bridge.model import CANNOT_UNDERSTAND, SUCCESS
from services.bridge.ports import Destinations, Exchange, Library, Sink, Transfers
from services.dicom.transfer_syntaxes import EXPLICIT_LITTLE_ENDIAN


async def get(exchange: Exchange, *, library: Library, sink: Sink) -> Response:
    """Answer a C-GET over the association that asked; gives the last response.

    Raises:
        AbandonedError: the peer went away.
    """
    places = await _places(exchange.request, library)
    if isinstance(places, Response):
        return places
    return await _send(places, exchange, library, sink)


async def move(exchange: Exchange, *, library: Library, destinations: Destinations, transfers: Transfers) -> Response:
    """Answer a C-MOVE: one association with the destination for all; gives the last response.

    Raises:
        AbandonedError: the peer went away.
    """
    request = exchange.request
    recipient = destinations.of(request.destination)
    if recipient is None:
        return Response(DESTINATION_UNKNOWN, "the move destination is not known here")
    places = await _places(request, library)
    if isinstance(places, Response):
        return places
    if not places:
        return Response(SUCCESS, counts=Counts(0))
    try:
        async with destinations.open(request.destination, proposals(places), exchange) as sink:
            failed: list[Place] = []
            response = await _send(places, exchange, library, sink, to=recipient, failed=failed)
            reason = "not-taken"
    except UnreachableError as fault:
        failed, reason = places, fault.code
        response = _last(CANNOT_SEND, Counts(0, failed=len(places)), failed, request, fault.reason)
    if failed:
        await transfers.failed(request, recipient, Counter(place.study_instance_uid for place in failed), reason)
    return response


async def _places(request: Request, library: Library) -> list[Place] | Response:
    try:
        asked = identifiers.read(request.identifier, request.transfer_syntax_uid)
        wanted = retrieval(asked, SERVICES[request.sop_class_uid], relational=request.relational)
        return await library.locate(wanted, request.peer.principal())
    except RefusedError as refused:
        return Response(refused.status, refused.reason, refused.offending)
    except UnheldError as fault:
        return Response(CANNOT_UNDERSTAND, fault.reason)
    except UnansweredError as fault:
        return Response(CANNOT_COUNT, fault.reason)


async def _send(
    places: Sequence[Place],
    exchange: Exchange,
    library: Library,
    sink: Sink,
    *,
    to: Recipient | None = None,
    failed: list[Place] | None = None,
) -> Response:
    """All sub-operations; those that fail are added to `failed`."""
    counts, failed = Counts(len(places)), [] if failed is None else failed
    for place in places:
        if exchange.cancelled:
            return _last(CANCELLED, counts, failed, exchange.request, "the retrieval was cancelled")
        after = counts.after(await _store(place, exchange.request, library, sink, to))
        if after.failed > counts.failed:
            failed.append(place)
        counts = after
        if counts.remaining:
            await exchange.answer(Response(PENDING, counts=counts))
    comment = "" if counts.status == SUCCESS else "some instances were not taken, or with a warning"
    return _last(counts.status, counts, failed, exchange.request, comment)


async def _store(place: Place, request: Request, library: Library, sink: Sink, to: Recipient | None) -> int | None:
    """One sub-operation; gives its status, or None where it could not even begin."""
    syntax = chosen(place, sink.accepted(place.sop_class_uid))
    if syntax is None:
        return None
    try:
        async with aclosing(library.read(place, syntax, request.peer.principal(), to=to)) as chunks:
            return await sink.store(place, syntax, chunks)
    except (UnheldError, UnansweredError):
        return None


def _last(status: int, counts: Counts, failed: Sequence[Place], request: Request, comment: str) -> Response:
    """The last response, with the Failed SOP Instance UID List (0008,0058) where something failed (C.4.2.1.4.2)."""
    identifier = None
    if failed:
        listed = {"00080058": {"vr": "UI", "Value": [place.sop_instance_uid for place in failed]}}
        identifier = identifiers.write(listed, request.transfer_syntax_uid or EXPLICIT_LITTLE_ENDIAN)
    return Response(status, comment, identifier=identifier, counts=counts)
