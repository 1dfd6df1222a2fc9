"""Deliveries over gRPC: one bidirectional stream `Ingest.Store` for each (`proto/…/ingest.proto`)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import grpc

from services.bridge.errors import UndeliveredError
from services.bridge.model import Outcome, Reply
from services.bridge.ports import Transfer
from services.chassis import rpc
from services.chassis.principal import Principal
from services.contracts import calls

T = TypeVar("T")
_OUTCOMES = {
    calls.StoreReply.OUTCOME_STORED: Outcome.STORED,
    calls.StoreReply.OUTCOME_UNCHANGED: Outcome.UNCHANGED,
    calls.StoreReply.OUTCOME_KEPT_FIRST: Outcome.KEPT_FIRST,
    calls.StoreReply.OUTCOME_REFUSED: Outcome.REFUSED,
    calls.StoreReply.OUTCOME_UNAVAILABLE: Outcome.UNAVAILABLE,
}


class IngestArchive:
    """Ingest as the place where deliveries go.

    Args:
        channel: to ingest.
        reach_seconds: how long to wait until ingest is there: as long as a restart takes, not longer.
        store_seconds: how long ingest may take for one chunk, and for the answer after the last.
    """

    def __init__(self, channel: grpc.aio.Channel, *, reach_seconds: float, store_seconds: float) -> None:
        self._channel = channel
        self._stub = calls.IngestStub(channel)  # type: ignore[no-untyped-call]  # generated
        self._reach_seconds = reach_seconds
        self._store_seconds = store_seconds

    @asynccontextmanager
    async def deliver(self, principal: Principal) -> AsyncIterator[Stream]:
        """A stream on behalf of `principal`; closed in order when the block ends well, broken off otherwise.

        Raises:
            UndeliveredError: ingest is away.
        """
        with rpc.call("plexus.ingest.v1.Ingest/Store", principal) as metadata:
            try:
                async with asyncio.timeout(self._reach_seconds):
                    await self._channel.channel_ready()
            except TimeoutError:
                raise UndeliveredError("ingest-unreachable") from None
            stream = Stream(self._stub.Store(metadata=metadata), self._store_seconds)
            try:
                yield stream
                await stream.close()
            finally:
                stream.cancel()  # nothing, once it is closed


class Stream:
    """One delivery."""

    def __init__(self, call: Any, store_seconds: float) -> None:
        self._call = call
        self._seconds = store_seconds
        self._sent = 0

    @property
    def broken(self) -> bool:
        """Whether ingest has ended the stream."""
        return bool(self._call.done())

    async def store(self, transfer: Transfer) -> Reply:
        """Hand one instance over; returns ingest's reply, which comes after its commit.

        Raises:
            UndeliveredError: the stream broke, or ingest took too long.
            AbandonedError: the sender went away in the middle of it.
        """
        self._sent += 1
        begin = calls.Begin(
            sequence=str(self._sent),
            sop_class_uid=transfer.announced.sop_class_uid,
            sop_instance_uid=transfer.announced.sop_instance_uid,
        )
        await self._soon(self._call.write(calls.StoreRequest(begin=begin)))
        async for chunk in transfer.file():
            await self._soon(self._call.write(calls.StoreRequest(chunk=chunk)))
        await self._soon(self._call.write(calls.StoreRequest(end=calls.End())))
        reply = await self._soon(self._call.read())
        if not isinstance(reply, calls.StoreReply) or reply.sequence != begin.sequence:
            raise UndeliveredError("ingest-broke-off")
        return Reply(
            # What we do not know is never a success.
            _OUTCOMES.get(reply.outcome, Outcome.UNAVAILABLE),
            reply.failure_reason,
            reply.reason_code,
            reply.reason,
        )

    async def close(self) -> None:
        """Tell ingest that the delivery has ended, and see that it heard."""
        with suppress(UndeliveredError):
            await self._soon(self._call.done_writing())
            await self._soon(self._call.read())

    def cancel(self) -> None:
        """Break the stream off; what was answered stays."""
        self._call.cancel()

    async def _soon(self, step: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self._seconds):
                return await step
        except TimeoutError:
            raise UndeliveredError("ingest-too-slow") from None
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError, grpc.aio.UsageError):
            raise UndeliveredError("ingest-broke-off") from None
