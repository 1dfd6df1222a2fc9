"""gRPC: a server that knows its caller and continues its trace, and calls that carry both."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Set
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as grpc_health
from opentelemetry import metrics
from opentelemetry.trace import SpanKind

from services.chassis import telemetry
from services.chassis.doors import Doors
from services.chassis.faults import Fault, PassingFault, PermanentFault
from services.chassis.identity import Identity
from services.chassis.log import Log
from services.chassis.principal import Principal

_caller: ContextVar[Principal] = ContextVar("caller")
_OPTIONS = (
    ("grpc.keepalive_time_ms", 20_000),
    # A server takes the third ping on a stream at rest for an attack and breaks the stream off, unless it is told how
    # often they come.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    # A peer that was restarted is found within a second; the default lets a channel wait for two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
    ("grpc.so_reuseport", 0),  # a port that is taken is an error, not a second listener
)


def caller() -> Principal:
    """Who makes the call that is being answered."""
    return _caller.get()


@contextmanager
def call(name: str, principal: Principal) -> Iterator[tuple[tuple[str, str], ...]]:
    """A span around a call to another service; gives the metadata to send with it.

    Args:
        name: `package.Service/Method` or a short form of it.
        principal: on whose behalf.
    """
    with telemetry.span(name, {"rpc.system": "grpc"}, kind=SpanKind.CLIENT):
        yield (*principal.to_metadata(), *telemetry.inject().items())


@asynccontextmanager
async def channel(address: str, identity: Identity | None = None) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to `host:port`; it connects when first used and reconnects by itself.

    Args:
        identity: who we are; without one, the channel is in the clear.
    """
    if identity is None:
        opening = grpc.aio.insecure_channel(address, options=_OPTIONS)
    else:
        opening = grpc.aio.secure_channel(address, identity.of_client(), options=_OPTIONS)
    async with opening as opened:
        yield opened


@contextmanager
def blocking_channel(address: str, identity: Identity | None = None) -> Iterator[grpc.Channel]:
    """As `channel`, for calls that a thread of their own makes and waits for.

    A thread that has nothing else to do pays a quarter of what the event loop pays for a message.
    """
    if identity is None:
        opening = grpc.insecure_channel(address, options=_OPTIONS)
    else:
        opening = grpc.secure_channel(address, identity.of_client(), options=_OPTIONS)
    with opening as opened:
        yield opened


def fault_of(error: grpc.aio.AioRpcError) -> PassingFault | PermanentFault:
    """What a failed call means to the caller; our servers put a code and a PHI-free sentence into the status."""
    code, _, reason = (error.details() or "").partition(": ")
    match error.code():
        case (
            grpc.StatusCode.UNAVAILABLE
            | grpc.StatusCode.DEADLINE_EXCEEDED
            | grpc.StatusCode.RESOURCE_EXHAUSTED
            | grpc.StatusCode.ABORTED
            | grpc.StatusCode.CANCELLED
        ):
            if reason and _is_code(code):
                return PassingFault(code, reason)
            return PassingFault("peer-unavailable", f"a service did not answer ({error.code().name})")
        case _ if reason and _is_code(code):
            return PermanentFault(code, reason)
        case _:
            return PermanentFault("peer-failed", f"a service could not answer ({error.code().name})")


def _is_code(text: str) -> bool:
    return re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", text) is not None


@asynccontextmanager
async def serving(
    host: str,
    port: int,
    *,
    log: Log,
    grace: float,
    add: Callable[[grpc.aio.Server], None],
    identity: Identity | None = None,
    askers: Mapping[str, Set[str]] | None = None,
    doors: Doors | None = None,
) -> AsyncIterator[grpc.aio.Server]:
    """A server on `host:port` while the body runs; `add` puts the servicers in.

    Args:
        identity: who we are: then only peers with a certificate of the same authority are heard.
        askers: the services that may call a method (`package.Service/Method`), by the names in their certificates;
            a method that is not listed is open to nobody. Asked only where there is an `identity`.
        doors: told of who comes with which certificate, and of who is refused.

    Raises:
        PermanentFault: the port is taken.
    """
    server = grpc.aio.server(interceptors=[_Edge(log, askers if identity else None, doors)], options=_OPTIONS)
    add(server)
    status = grpc_health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(status, server)
    try:
        if identity is None:
            server.add_insecure_port(f"{host}:{port}")
        else:
            server.add_secure_port(f"{host}:{port}", identity.of_server())
    except RuntimeError:
        raise PermanentFault("port-taken", f"port {port} of {host} is taken") from None
    await server.start()
    await status.set("", health_pb2.HealthCheckResponse.SERVING)
    try:
        yield server
    finally:
        await status.enter_graceful_shutdown()
        await server.stop(grace)


class _Edge(grpc.aio.ServerInterceptor):
    """Learns the caller, continues the trace, counts, and turns faults into statuses, for every call."""

    def __init__(self, log: Log, askers: Mapping[str, Set[str]] | None, doors: Doors | None) -> None:
        self._log = log
        self._doors = doors
        self._askers = askers
        self._seconds = metrics.get_meter("plexus").create_histogram(
            "plexus_rpc_server_seconds", "s", "How long calls take, by method and outcome"
        )

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        found = await continuation(handler_call_details)
        method = str(handler_call_details.method).lstrip("/")
        if found is None or method.startswith("grpc.health."):
            return found
        if found.response_streaming:
            wrapped = self._streaming(method, found.stream_stream or found.unary_stream)
            make: Any = (
                grpc.stream_stream_rpc_method_handler
                if found.request_streaming
                else grpc.unary_stream_rpc_method_handler
            )
        else:
            wrapped = self._unary(method, found.stream_unary or found.unary_unary)
            make = (
                grpc.stream_unary_rpc_method_handler if found.request_streaming else grpc.unary_unary_rpc_method_handler
            )
        return make(wrapped, found.request_deserializer, found.response_serializer)

    def _unary(self, method: str, inner: Any) -> Any:
        async def answer(request: Any, context: Any) -> Any:
            await self._admit(method, context)
            with self._around(method, context):
                try:
                    return await inner(request, context)
                except Exception as error:  # noqa: BLE001  # every one becomes a status
                    await self._abort(method, context, error)

        return answer

    def _streaming(self, method: str, inner: Any) -> Any:
        async def answer(request: Any, context: Any) -> AsyncIterator[Any]:
            await self._admit(method, context)
            with self._around(method, context):
                try:
                    async for reply in inner(request, context):
                        yield reply
                except Exception as error:  # noqa: BLE001  # every one becomes a status
                    await self._abort(method, context, error)

        return answer

    async def _admit(self, method: str, context: Any) -> None:
        """Let only those ask who may."""
        if self._askers is None:
            return
        names = {name.decode(errors="replace") for name in context.auth_context().get("x509_common_name", ())}
        allowed = names & self._askers.get(method, frozenset())
        caller = Principal(
            f"service:{min(allowed or names, default='')}", proved_by="certificate", source=_host(context.peer())
        )
        if allowed and self._doors is not None:
            await self._doors.entered(caller, "rpc")
        if not allowed:
            self._log.warning("rpc.refused", method=method)
            if self._doors is not None:
                await self._doors.refused(caller, method, "not-allowed")
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "not-allowed: this service may not ask that")

    async def _abort(self, method: str, context: Any, error: Exception) -> None:
        match error:
            case grpc.aio.AbortError():
                raise error
            case Fault():
                status = (
                    grpc.StatusCode.NOT_FOUND
                    if error.code.startswith("no-such-")
                    else grpc.StatusCode.UNAVAILABLE
                    if isinstance(error, PassingFault)
                    else grpc.StatusCode.FAILED_PRECONDITION
                )
                await context.abort(status, f"{error.code}: {error.reason}")
            case _:
                # Left alone, gRPC would send the text of the exception, which may quote a value.
                self._log.error("rpc.failed", error, method=method)
                await context.abort(grpc.StatusCode.INTERNAL, "internal: the service failed; its log has the trace id")

    @contextmanager
    def _around(self, method: str, context: Any) -> Iterator[None]:
        metadata = tuple(context.invocation_metadata() or ())
        _caller.set(Principal.from_metadata(metadata))
        parent = telemetry.extract({key: value for key, value in metadata if isinstance(value, str)})
        started, outcome = time.perf_counter(), "ok"
        try:
            with telemetry.span(method, {"rpc.system": "grpc"}, kind=SpanKind.SERVER, parent=parent):
                yield
        except grpc.aio.AbortError:
            outcome = "refused" if context.code() != grpc.StatusCode.INTERNAL else "failed"
            raise
        except BaseException:
            outcome = "cancelled"
            raise
        finally:
            self._seconds.record(time.perf_counter() - started, {"method": method, "outcome": outcome})


def _host(peer: str) -> str:
    """The address in gRPC's name of a peer, such as `ipv4:10.0.0.1:4711`."""
    return peer.partition(":")[2].rpartition(":")[0].strip("[]")
