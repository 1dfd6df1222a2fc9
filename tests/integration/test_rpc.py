"""gRPC between two services of ours, over a real connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.chassis import rpc, telemetry
from services.chassis.faults import Fault, PassingFault, PermanentFault
from services.chassis.log import Log
from services.chassis.principal import Principal
from services.contracts import calls
from services.launcher.settings import free_port
from tests.unit.chassis.spans import recorded

CALLER = Principal("CT 1", institution="Ward 3", proved_by="ae-title", source="192.0.2.7")
SECRET = "Doe^Jane"


@dataclass
class Servicer(calls.ArchiveServicer):
    """Answers, or fails, as the test wants."""

    error: Exception | None = None
    callers: list[Principal] = field(default_factory=list)
    traces: list[str] = field(default_factory=list)

    def _heard(self) -> None:
        self.callers.append(rpc.caller())
        self.traces.append(telemetry.trace_id())

    async def DescribeSeries(self, request: calls.SeriesRef, context: Any) -> calls.SeriesDescription:
        """A unary call."""
        self._heard()
        if self.error:
            raise self.error
        return calls.SeriesDescription(digest="d", instances=3)

    async def ReadInstance(self, request: calls.ReadInstanceRequest, context: Any) -> AsyncIterator[calls.Chunk]:
        """A stream, which fails after its first chunk."""
        self._heard()
        yield calls.Chunk(data=b"first")
        if self.error:
            raise self.error
        yield calls.Chunk(data=b"second")


@pytest.fixture
def servicer() -> Servicer:
    """What the server does."""
    return Servicer()


@asynccontextmanager
async def serving(servicer: Servicer, port: int, grace: float = 0) -> AsyncIterator[None]:
    async with rpc.serving(
        "127.0.0.1",
        port,
        log=Log("tested"),
        grace=grace,
        add=lambda server: calls.add_ArchiveServicer_to_server(servicer, server),
    ):
        yield


@pytest_asyncio.fixture
async def channel(servicer: Servicer) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to a server that runs."""
    port = free_port()
    async with serving(servicer, port), rpc.channel(f"127.0.0.1:{port}") as found:
        yield found


async def describe(channel: grpc.aio.Channel, principal: Principal = CALLER) -> Any:
    """A unary call, as an adapter makes it."""
    with rpc.call("Archive/DescribeSeries", principal) as metadata:
        try:
            return await calls.ArchiveStub(channel).DescribeSeries(calls.SeriesRef(), metadata=metadata, timeout=10)
        except grpc.aio.AioRpcError as error:
            assert SECRET not in str(error.details())
            raise rpc.fault_of(error) from None


async def read(channel: grpc.aio.Channel) -> list[bytes]:
    """A stream, read to its end."""
    with rpc.call("Archive/ReadInstance", CALLER) as metadata:
        try:
            call = calls.ArchiveStub(channel).ReadInstance(calls.ReadInstanceRequest(), metadata=metadata, timeout=10)
            return [chunk.data async for chunk in call]
        except grpc.aio.AioRpcError as error:
            assert SECRET not in str(error.details())
            raise rpc.fault_of(error) from None


async def test_the_callee_knows_its_caller(channel: grpc.aio.Channel, servicer: Servicer) -> None:
    assert (await describe(channel)).instances == 3
    assert await read(channel) == [b"first", b"second"]
    assert servicer.callers == [CALLER, CALLER]


async def test_callers_at_the_same_time_are_not_mixed_up(channel: grpc.aio.Channel, servicer: Servicer) -> None:
    principals = [Principal(f"CT {number}") for number in range(20)]
    await asyncio.gather(*(describe(channel, principal) for principal in principals))
    assert {caller.subject for caller in servicer.callers} == {principal.subject for principal in principals}


async def test_a_call_is_one_trace_on_both_sides(channel: grpc.aio.Channel, servicer: Servicer) -> None:
    with recorded() as exporter:
        with telemetry.span("the question"):
            expected = telemetry.trace_id()
            await describe(channel)
            await read(channel)
        spans = {span.name: span for span in exporter.get_finished_spans()}
    assert servicer.traces == [expected, expected]
    for method in ("DescribeSeries", "ReadInstance"):
        client, server = spans[f"Archive/{method}"], spans[f"plexus.archive.v1.Archive/{method}"]
        assert server.parent is not None
        assert client.context is not None
        assert server.parent.span_id == client.context.span_id
        assert client.parent is not None


@pytest.mark.parametrize(
    "fault",
    [
        PassingFault("store-full", "the object store is full"),
        PermanentFault("not-a-volume", "the series is not a volume: its slices overlap"),
        PermanentFault("no-such-series", "there is no such series"),
    ],
)
@pytest.mark.parametrize("ask", [describe, read])
async def test_a_fault_comes_back_as_it_was(
    channel: grpc.aio.Channel, servicer: Servicer, fault: Fault, ask: Any
) -> None:
    servicer.error = fault
    with pytest.raises(type(fault)) as caught:
        await ask(channel)
    assert (caught.value.code, caught.value.reason) == (fault.code, fault.reason)


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (PassingFault("store-full", "full"), grpc.StatusCode.UNAVAILABLE),
        (PermanentFault("no-such-series", "none"), grpc.StatusCode.NOT_FOUND),
        (PermanentFault("other", "other"), grpc.StatusCode.FAILED_PRECONDITION),
        (ValueError(SECRET), grpc.StatusCode.INTERNAL),
    ],
)
async def test_each_fault_has_its_status(
    channel: grpc.aio.Channel, servicer: Servicer, fault: Exception, status: grpc.StatusCode
) -> None:
    servicer.error = fault
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await calls.ArchiveStub(channel).DescribeSeries(calls.SeriesRef())
    assert caught.value.code() is status


@pytest.mark.parametrize("ask", [describe, read])
async def test_what_nobody_foresaw_comes_back_without_its_text(
    channel: grpc.aio.Channel, servicer: Servicer, ask: Any, caplog: pytest.LogCaptureFixture
) -> None:
    servicer.error = ValueError(SECRET)
    with pytest.raises(PermanentFault) as caught:
        await ask(channel)
    assert caught.value.code == "internal"
    assert SECRET not in str(caught.value)
    assert "rpc.failed" in [record.getMessage() for record in caplog.records]


async def test_a_peer_that_is_away_is_a_passing_fault_and_is_found_when_it_is_back(servicer: Servicer) -> None:
    port = free_port()
    async with rpc.channel(f"127.0.0.1:{port}") as channel:
        for _ in range(5):
            with pytest.raises(PassingFault, match="peer-unavailable"):
                await describe(channel)
        async with serving(servicer, port):
            async with asyncio.timeout(10):  # not minutes, as gRPC waits when it is left alone
                await channel.channel_ready()
            assert (await describe(channel)).instances == 3


async def test_a_deadline_is_a_passing_fault(channel: grpc.aio.Channel, servicer: Servicer) -> None:
    async def slow(self: Servicer, request: Any, context: Any) -> None:
        await asyncio.sleep(60)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Servicer, "DescribeSeries", slow)
        port = free_port()
        async with serving(Servicer(), port), rpc.channel(f"127.0.0.1:{port}") as other:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await calls.ArchiveStub(other).DescribeSeries(calls.SeriesRef(), timeout=0.1)
    assert isinstance(rpc.fault_of(caught.value), PassingFault)


async def test_a_port_that_is_taken_is_an_error_that_names_it(servicer: Servicer) -> None:
    port = free_port()
    async with serving(servicer, port):
        with pytest.raises(PermanentFault, match=f"port-taken: port {port}"):
            async with serving(servicer, port):
                pass


async def test_a_server_says_that_it_is_well(channel: grpc.aio.Channel) -> None:
    answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_a_stop_lets_the_call_in_hand_end(servicer: Servicer) -> None:
    port = free_port()
    release = asyncio.Event()

    async def slow(self: Servicer, request: Any, context: Any) -> calls.SeriesDescription:
        await release.wait()
        return calls.SeriesDescription(instances=7)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Servicer, "DescribeSeries", slow)
        async with rpc.channel(f"127.0.0.1:{port}") as channel:
            async with serving(Servicer(), port, grace=10):
                asked = asyncio.create_task(describe(channel))
                await asyncio.sleep(0.2)
                asyncio.get_running_loop().call_later(0.3, release.set)
            assert (await asked).instances == 7
