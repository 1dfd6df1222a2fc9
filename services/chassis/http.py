"""HTTP: an app with health, metrics, the caller, a span for each request and problems in one form (RFC 9457)."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from opentelemetry import metrics
from opentelemetry.trace import Span, SpanKind
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException

from services.chassis import telemetry
from services.chassis.faults import Fault, PassingFault
from services.chassis.health import Health
from services.chassis.log import Log
from services.chassis.principal import Principal

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
StatusOf = Callable[[Fault], int]

_HOST = re.compile(r"[A-Za-z0-9.\-_\[\]:]{1,255}")
_PORT = re.compile(r":\d+$")
_QUIET = ("/healthz", "/readyz", "/metrics")
_TRACED: Final = (b"traceparent", b"tracestate", b"baggage")
"""Headers that carry a trace (W3C Trace Context)."""


@dataclass(frozen=True, slots=True)
class Direct:
    """A resource that clients ask for by thousands: GET and HEAD of it go past the framework, to save its time.

    Its requests are counted as all are.

    Attributes:
        route: its pattern as routes have it, for metrics and spans; its names are the path parameters.
        answer: what the routes would call.
        spanned: each request has a span; without it, only those whose caller carries a trace.
    """

    route: str
    answer: Callable[[Request], Awaitable[Response]]
    spanned: bool = False

    @property
    def pattern(self) -> re.Pattern[str]:
        """Matches its paths."""
        return re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(self.route)))


def caller(request: Request) -> Principal:
    """Who asks; a FastAPI dependency."""
    principal: Principal = request.scope["plexus.principal"]
    return principal


def origin(request: Request, public_url: str = "") -> str:
    """The address by which the client knows us, for links: scheme, host and port; "" when it is not to be known.

    Args:
        public_url: address of the edge. It serves where the Host header has no port: some clients (dicomweb-client for
            one) send none, whichever they use.
    """
    host = request.headers.get("x-forwarded-host") or request.headers.get("host", "")
    scheme = request.headers.get("x-forwarded-proto") or request.url.scheme
    if scheme not in ("http", "https") or not _HOST.fullmatch(host):
        return public_url
    return f"{scheme}://{host}" if _PORT.search(host) else public_url or f"{scheme}://{host}"


def problem(status: int, code: str, reason: str, headers: dict[str, str] | None = None) -> Response:
    """An error answer: `code` for programs, `reason` for people; neither holds PHI."""
    return JSONResponse(
        {"status": status, "code": code, "detail": reason},
        status,
        headers,
        media_type="application/problem+json",
    )


def create_app(
    service: str,
    *,
    health: Health,
    log: Log,
    routers: Sequence[APIRouter] = (),
    status_of: StatusOf | None = None,
    direct: Sequence[Direct] = (),
) -> FastAPI:
    """The HTTP side of `service`.

    Args:
        direct: resources that are looked for before the routes.
        status_of: the HTTP status of each fault that a handler of the service raises; without it, a passing fault is
            503 and any other 400.
    """
    app = FastAPI(
        title=f"Plexus {service}",
        docs_url=None,
        redoc_url=None,
        openapi_url=f"/{service}/openapi.json",
        # The framework's own spans hold paths and queries, its logs the input that did not fit: PHI. `_Edge` has ours.
        telemetry={
            "tracing": False, "metrics": False, "logs": False, "operation_spans": False, "auto_configure": False,
        },
    )  # fmt: skip

    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> Response:
        return Response("alive\n", media_type="text/plain")

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> Response:
        failing = await health.failing()
        return JSONResponse({"ready": not failing, "failing": failing}, 503 if failing else 200)

    @app.get("/metrics", include_in_schema=False)
    async def metrics_page() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    for router in routers:
        app.include_router(router)

    def answer_of(fault: Fault) -> Response:
        status = status_of(fault) if status_of else (503 if isinstance(fault, PassingFault) else 400)
        return problem(status, fault.code, fault.reason, {"Retry-After": "5"} if status == 503 else None)

    @app.exception_handler(Fault)
    async def on_fault(_: Request, fault: Fault) -> Response:
        return answer_of(fault)

    @app.exception_handler(HTTPException)
    async def on_http_exception(_: Request, error: HTTPException) -> Response:
        return problem(error.status_code, "http", str(error.detail), dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    async def on_invalid(_: Request, error: RequestValidationError) -> Response:
        # The framework's own answer repeats the input, which may be a name.
        where = ", ".join(sorted({".".join(str(part) for part in item["loc"]) for item in error.errors()}))
        return problem(400, "invalid-parameter", f"invalid value of {where}")

    app.add_middleware(_Edge, log=log, direct=direct, answer_of=answer_of)
    return app


class _Edge:
    """Learns the caller, continues the trace, counts, and answers 500 without a word of what was asked."""

    def __init__(
        self,
        app: Callable[[Scope, Receive, Send], Awaitable[None]],
        log: Log,
        direct: Sequence[Direct],
        answer_of: Callable[[Fault], Response],
    ) -> None:
        self._app = app
        self._log = log
        self._direct = [(each.pattern, each) for each in direct]
        self._answer_of = answer_of
        self._seconds = metrics.get_meter("plexus").create_histogram(
            "plexus_http_server_seconds", "s", "How long requests take, by route and status"
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in _QUIET:
            await self._app(scope, receive, send)
            return
        client = scope.get("client")
        scope["plexus.principal"] = _local(client[0] if client else "")
        method = str(scope["method"])
        traced = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"] if key in _TRACED}
        direct = self._found(scope) if method in ("GET", "HEAD") else None
        started, status = time.perf_counter(), 0
        with _span(method, traced) if direct is None or direct.spanned or traced else nullcontext() as span:
            try:
                if direct is None:
                    status = await self._routed(scope, receive, send)
                else:
                    status = await self._answered(direct, scope, receive, send)
            finally:  # also when the client has gone
                route = direct.route if direct is not None else _route(scope)
                if span is not None:
                    span.update_name(f"{method} {route}")
                    span.set_attributes({"http.route": route, "http.response.status_code": status})
                self._seconds.record(
                    time.perf_counter() - started, {"method": method, "route": route, "status": str(status)}
                )

    async def _routed(self, scope: Scope, receive: Receive, send: Send) -> int:
        """Answer by the framework; gives the status that was sent."""
        status = 0

        async def remember(message: dict[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, remember)
        except Exception as error:  # noqa: BLE001  # the last line of defence: a clear answer, and a log line
            self._log.error("http.failed", error, method=str(scope["method"]), route=_route(scope))
            if status == 0:
                status = await self._failed(scope, receive, send)
        return status

    async def _answered(self, direct: Direct, scope: Scope, receive: Receive, send: Send) -> int:
        """Answer past the framework; gives the status."""
        try:
            try:
                response = await direct.answer(Request(scope))
            except Fault as fault:
                response = self._answer_of(fault)
            except Exception as error:  # noqa: BLE001  # as above
                self._log.error("http.failed", error, method=str(scope["method"]), route=direct.route)
                return await self._failed(scope, receive, send)
            await response(scope, receive, send)  # type: ignore[arg-type]  # starlette's own ASGI types
        except Exception as error:  # noqa: BLE001  # in the middle of a body: the server cuts the connection
            self._log.error("http.failed", error, method=str(scope["method"]), route=direct.route)
            return 500
        return response.status_code

    async def _failed(self, scope: Scope, receive: Receive, send: Send) -> int:
        await problem(500, "internal", "the service failed; its log has the trace id")(scope, receive, send)  # type: ignore[arg-type]  # starlette's own ASGI types
        return 500

    def _found(self, scope: Scope) -> Direct | None:
        for pattern, direct in self._direct:
            if match := pattern.fullmatch(scope["path"]):
                scope["path_params"] = match.groupdict()
                return direct
        return None


def _span(method: str, traced: dict[str, str]) -> AbstractContextManager[Span]:
    return telemetry.span(
        method, {"http.request.method": method}, kind=SpanKind.SERVER, parent=telemetry.extract(traced)
    )


@lru_cache(maxsize=1024)
def _local(source: str) -> Principal:
    return Principal.local(source=source)


def _route(scope: Scope) -> str:
    """The route's pattern: the path itself may hold identifiers."""
    return str(getattr(scope.get("route"), "path", "unmatched"))
