"""UPS-RS: the work items by HTTP (PS3.18 11)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Request, Response

from services.chassis import http
from services.chassis.doors import Sparing
from services.chassis.principal import ascii_only
from services.worklist import workitems
from services.worklist.api.payloads import accepted, answer, read
from services.worklist.ports import Catalogue, Jobs, Journal, SeriesArchive, WorkItems
from services.worklist.ups.building import first
from services.worklist.ups.refusals import WorkItemRefusedError, invalid
from services.worklist.ups.searching import parse_search
from services.worklist.ups.table import FILTERED_WORKLIST, TRANSACTION_UID, WORKLIST
from services.worklist.workitems import Caller

_MODIFIED: Final = "The Workitem was created with modifications."
_MORE: Final = "There are additional results that can be requested"
_UID: Final = re.compile(r"[0-9.]{1,64}", re.ASCII)
_AE_TITLE: Final = re.compile(r"[ -\[\]-~]{1,16}", re.ASCII)
"""PS3.5 6.2: no backslash, no control character."""

_METHODS: Final = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"))
_REFUSALS_A_MINUTE: Final = 20
"""Of one address, code and work item: so many are on record, so that nobody can flood the log with them."""

Endpoint = Callable[[Request], Awaitable[Response]]


def router(  # noqa: PLR0915  # a closure a transaction
    *,
    root: str,
    items: WorkItems,
    jobs: Jobs,
    archive: SeriesArchive,
    catalogue: Catalogue,
    journal: Journal,
    public_url: str,
) -> APIRouter:
    """The routes under `root`."""
    routes = APIRouter()
    refusals = Sparing(_REFUSALS_A_MINUTE, 60.0)
    one = f"{root}/workitems/{{uid}}"
    subscription = f"{one}/subscribers/{{ae_title}}"

    def base(request: Request) -> str:
        return f"{http.origin(request, public_url)}{root}"

    def warned(request: Request, response: Response, *warnings: str) -> Response:
        for warning in filter(None, warnings):
            response.headers.append("Warning", f'299 {base(request)} "{warning}"')
        return response

    def answering(endpoint: Endpoint) -> Endpoint:
        """An endpoint whose refusals have the status and the Warning that the standard asks for."""

        @wraps(endpoint)
        async def answered(request: Request) -> Response:
            try:
                return await endpoint(request)
            except WorkItemRefusedError as refused:
                caller = _caller(request)
                uid = str(request.path_params.get("uid", ""))
                if refused.on_record and refusals.may((caller.principal.source, refused.code, uid)):
                    await workitems.refuse(
                        uid if _UID.fullmatch(uid) else "",
                        f"workitem-{endpoint.__name__.replace('_', '-')}",
                        refused.code,
                        caller=caller,
                        items=items,
                    )
                return warned(request, http.problem(refused.status, refused.code, refused.reason), refused.warning)

        return answered

    allowed: defaultdict[str, set[str]] = defaultdict(lambda: {"OPTIONS"})

    def route(path: str, method: str) -> Callable[[Endpoint], Endpoint]:
        methods = {method, "HEAD"} if method == "GET" else {method}

        def add(endpoint: Endpoint) -> Endpoint:
            routes.add_api_route(path, answering(endpoint), methods=sorted(methods), response_model=None)
            allowed[path] |= methods
            return endpoint

        return add

    @route(f"{root}/workitems", "POST")
    async def create(request: Request) -> Response:
        """Create Workitem (11.4)."""
        given = await read(request)
        uid, modified = await workitems.create(
            _new_uid(request), given, caller=_caller(request),
            items=items, candidates=await catalogue.candidates(), archive=archive, jobs=jobs, journal=journal,
        )  # fmt: skip
        where = f"{base(request)}/workitems/{uid}"
        response = Response(status_code=201, headers={"Location": where, "Content-Location": where})
        return warned(request, response, _MODIFIED if modified else "")

    @route(f"{root}/workitems", "GET")
    async def search(request: Request) -> Response:
        """Search (11.9)."""
        offer = accepted(request)
        asked = parse_search(request.query_params.multi_items())
        found, more = await workitems.search(asked, caller=_caller(request), items=items)
        response = answer(found, offer, 206 if more else 200) if found else Response(status_code=204)
        return warned(request, response, *asked.warnings, _MORE if more else "")

    @route(one, "GET")
    async def retrieve(request: Request) -> Response:
        """Retrieve Workitem (11.5)."""
        offer = accepted(request)
        item = await workitems.retrieve(_uid(request), caller=_caller(request), items=items)
        return answer([item.attributes], offer)

    @route(one, "POST")
    async def update(request: Request) -> Response:
        """Update Workitem (11.6)."""
        given = await read(request)
        transaction = _parameter(request, "transaction-uid") or _transaction_of(given)
        await workitems.update(_uid(request), given, transaction, caller=_caller(request), items=items)
        return Response(headers={"Content-Location": f"{base(request)}/workitems/{_uid(request)}"})

    @route(f"{one}/state", "PUT")
    async def change_state(request: Request) -> Response:
        """Change Workitem State (11.7)."""
        given = await read(request)
        state, transaction = first(given, "ProcedureStepState"), _transaction_of(given)
        warning = await workitems.change_state(_uid(request), state, transaction, caller=_caller(request), items=items)
        return warned(request, Response(), warning)

    @route(f"{one}/cancelrequest", "POST")
    async def request_cancel(request: Request) -> Response:
        """Request Cancellation (11.8)."""
        given = await read(request)
        warning = await workitems.request_cancel(_uid(request), given, caller=_caller(request), items=items)
        return warned(request, Response(status_code=202), warning)

    @route(subscription, "POST")
    async def subscribe(request: Request) -> Response:
        """Subscribe (11.10)."""
        ae_title = _ae_title(request)
        await workitems.subscribe(
            _uid(request),
            ae_title,
            _parameter(request, "filter"),
            locked=_flag(request, "deletionlock"),
            caller=_caller(request),
            items=items,
        )
        where = re.sub("^http", "ws", http.origin(request, public_url))
        return Response(status_code=201, headers={"Content-Location": f"{where}/ws/subscribers/{quote(ae_title)}"})

    @route(subscription, "DELETE")
    async def unsubscribe(request: Request) -> Response:
        """Unsubscribe (11.11)."""
        await workitems.unsubscribe(_uid(request), _ae_title(request), caller=_caller(request), items=items)
        return Response()

    @route(f"{subscription}/suspend", "POST")
    async def suspend(request: Request) -> Response:
        """Suspend Global Subscription (11.12)."""
        uid = _uid(request)
        if uid not in (WORKLIST, FILTERED_WORKLIST):
            raise invalid("only a subscription to the worklist can be suspended")
        await workitems.suspend(uid, _ae_title(request), caller=_caller(request), items=items)
        return Response()

    for path, methods in allowed.items():
        others = sorted(_METHODS - methods | {"OPTIONS"})
        routes.add_api_route(path, _allowing(methods), methods=others, response_model=None, include_in_schema=False)
    return routes


def _allowing(methods: set[str]) -> Endpoint:
    """What a resource can do (RFC 9110 9.3.7), also to who asks for what it cannot (15.5.6)."""
    allow = {"Allow": ", ".join(sorted(methods))}

    async def answer_others(request: Request) -> Response:
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=allow)
        refused = http.problem(405, "http", "Method Not Allowed")
        refused.headers.update(allow)
        return refused

    return answer_others


def _new_uid(request: Request) -> str:
    """The UID in the query: `?workitem=UID`, or `?UID` as PS3.18 11.4.1.1 has it."""
    named = _parameter(request, "workitem")
    bare = [name for name, value in request.query_params.multi_items() if not value and _UID.fullmatch(name)]
    return named or next(iter(bare), "")


def _uid(request: Request) -> str:
    uid = str(request.path_params["uid"])
    if not _UID.fullmatch(uid):
        raise invalid("the UID of the work item is not legal")
    return uid


def _ae_title(request: Request) -> str:
    ae_title = str(request.path_params["ae_title"]).strip()
    if not _AE_TITLE.fullmatch(ae_title):
        raise invalid("an AE title has 1 to 16 characters")
    return ae_title


def _transaction_of(given: dict[str, Any]) -> str:
    return first(given, "TransactionUID") if TRANSACTION_UID in given else ""


def _parameter(request: Request, name: str) -> str:
    found = {key.lower(): value for key, value in request.query_params.multi_items()}
    return found.get(name, "")


def _flag(request: Request, name: str) -> bool:
    value = _parameter(request, name).lower()
    if value not in ("", "true", "false"):
        raise invalid(f"{name} is true or false")
    return value == "true"


def _caller(request: Request) -> Caller:
    """Who asks; `?requester=AET` names the application, as DICOM's association would."""
    principal = http.caller(request)
    requester = _parameter(request, "requester") or principal.subject
    return Caller(principal, ascii_only(requester)[:16])
