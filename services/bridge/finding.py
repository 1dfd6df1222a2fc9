"""C-FIND: the archive's matches, as they come (PS3.4 C.4.1)."""

from __future__ import annotations

from contextlib import aclosing

from services.bridge import identifiers
from services.bridge.errors import RefusedError, UnansweredError, UnheldError
from services.bridge.exchanging import (
    CANCELLED,
    OUT_OF_RESOURCES,
    PENDING,
    PENDING_WITH_WARNING,
    Found,
    Request,
    Response,
)
from services.bridge.information import SERVICES, Inquiry, inquiry
from services.bridge.model import CANNOT_UNDERSTAND, SUCCESS
from services.bridge.ports import Exchange, Library
from services.dicom.dicom_json import loads


async def find(exchange: Exchange, *, library: Library, ae_title: str) -> Response:
    """Answer a C-FIND with its matches; gives the last response.

    Args:
        ae_title: of ours, from which what is found can be retrieved.

    Raises:
        AbandonedError: the peer went away.
    """
    request = exchange.request
    try:
        asked = identifiers.read(request.identifier, request.transfer_syntax_uid)
        wanted = inquiry(asked, SERVICES[request.sop_class_uid], relational=request.relational)
        status, more = PENDING, False
        async with aclosing(library.find(wanted, request.peer.principal())) as answers:
            async for found in answers:
                status = PENDING_WITH_WARNING if found.warnings else status
                more = more or found.more
                await exchange.answer(*_responses(found, wanted, request, status, ae_title))
                if exchange.cancelled:
                    return Response(CANCELLED, "matching was cancelled")
    except RefusedError as refused:
        return Response(refused.status, refused.reason, refused.offending)
    except UnheldError as fault:
        return Response(CANNOT_UNDERSTAND, fault.reason)
    except UnansweredError as fault:
        return Response(OUT_OF_RESOURCES, fault.reason)
    # What was found so far has been answered; without a word the peer would take it for all.
    return Response(OUT_OF_RESOURCES, "there are more matches: narrow the query") if more else Response(SUCCESS)


def _responses(found: Found, wanted: Inquiry, request: Request, status: int, ae_title: str) -> list[Response]:
    return [
        Response(
            status,
            identifier=identifiers.write(
                wanted.identifier(loads(match), ae_title), request.transfer_syntax_uid, asked=wanted.asked
            ),
        )
        for match in found.matches
    ]
