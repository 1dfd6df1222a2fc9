"""Deliveries over gRPC: one bidirectional stream `Ingest.Store` for each (`proto/…/ingest.proto`).

A delivery belongs to the thread of its association, which waits for each answer: nothing is handed from thread to
thread, or to the event loop, for an instance. What takes too long is broken off by `IngestArchive.watch`.
"""

from __future__ import annotations

import asyncio
import queue
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import grpc

from services.bridge.errors import UndeliveredError
from services.bridge.model import Outcome, Reply
from services.bridge.ports import Transfer
from services.chassis import rpc
from services.chassis.principal import Principal
from services.contracts import calls

_OUTCOMES: Final = {
    calls.StoreReply.OUTCOME_STORED: Outcome.STORED,
    calls.StoreReply.OUTCOME_UNCHANGED: Outcome.UNCHANGED,
    calls.StoreReply.OUTCOME_KEPT_FIRST: Outcome.KEPT_FIRST,
    calls.StoreReply.OUTCOME_REFUSED: Outcome.REFUSED,
    calls.StoreReply.OUTCOME_UNAVAILABLE: Outcome.UNAVAILABLE,
}
_AHEAD: Final = 2
"""So many messages wait for gRPC: when ingest is slower than the sender, the sender's connection fills up, not we."""
_WATCH_SECONDS: Final = 0.1
_LOOK_SECONDS: Final = 0.5


class IngestArchive:
    """Ingest as the place where deliveries go.

    Args:
        channel: to ingest.
        reach_seconds: how long to wait until ingest is there: as long as a restart takes, not longer.
        store_seconds: how long ingest may take for one chunk, and for the answer after the last.
    """

    def __init__(self, channel: grpc.Channel, *, reach_seconds: float, store_seconds: float) -> None:
        self._channel = channel
        self._stub = calls.IngestStub(channel)  # type: ignore[no-untyped-call]  # generated
        self._reach_seconds = reach_seconds
        self._store_seconds = store_seconds
        self._streams: set[Stream] = set()

    @contextmanager
    def deliver(self, principal: Principal) -> Iterator[Stream]:
        """A stream on behalf of `principal`; closed in order at the end, unless it was broken off.

        Raises:
            UndeliveredError: ingest is away.
        """
        with rpc.call("plexus.ingest.v1.Ingest/Store", principal) as metadata:
            ready = grpc.channel_ready_future(self._channel)
            try:
                ready.result(timeout=self._reach_seconds)
            except grpc.FutureTimeoutError:
                raise UndeliveredError("ingest-unreachable") from None
            finally:
                ready.cancel()
            stream = Stream(self._stub, metadata, self._store_seconds)
            self._streams.add(stream)
            try:
                yield stream
                stream.close()
            finally:
                stream.cancel()  # nothing, once it is closed
                self._streams.discard(stream)

    async def watch(self, stopping: asyncio.Event) -> None:
        """Break off the streams in which ingest takes too long, until `stopping` and the last one has ended."""
        while not stopping.is_set() or self._streams:
            now = time.monotonic()
            for stream in tuple(self._streams):
                stream.check(now)
            await asyncio.sleep(_WATCH_SECONDS)


class Stream:
    """One delivery."""

    def __init__(self, stub: Any, metadata: Any, store_seconds: float) -> None:
        self._requests: queue.Queue[calls.StoreRequest | None] = queue.Queue(_AHEAD)
        self._seconds = store_seconds
        self._until = float("inf")
        self._late = False
        self._sent = 0
        self._call = stub.Store(iter(self._requests.get, None), metadata=metadata)

    @property
    def broken(self) -> bool:
        """Whether the stream has ended."""
        return not self._call.is_active()

    def store(self, transfer: Transfer) -> Reply:
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
        chunks = transfer.file()
        first, second = next(chunks, b""), next(chunks, b"")
        if not second:
            self._send(calls.StoreRequest(whole=calls.Whole(begin=begin, file=first)))
        else:
            self._send(calls.StoreRequest(begin=begin))
            self._send(calls.StoreRequest(chunk=first))
            self._send(calls.StoreRequest(chunk=second))
            del first, second
            for chunk in chunks:
                self._send(calls.StoreRequest(chunk=chunk))
            self._send(calls.StoreRequest(end=calls.End()))
        reply = self._reply()
        if not isinstance(reply, calls.StoreReply) or reply.sequence != begin.sequence:
            raise UndeliveredError("ingest-broke-off")
        return Reply(
            # What we do not know is never a success.
            _OUTCOMES.get(reply.outcome, Outcome.UNAVAILABLE),
            reply.failure_reason,
            reply.reason_code,
            reply.reason,
        )

    def close(self) -> None:
        """Tell ingest that the delivery has ended, and see that it heard."""
        with suppress(UndeliveredError):
            self._put(None)
            self._reply()

    def cancel(self) -> None:
        """Break the stream off; what was answered stays."""
        self._call.cancel()
        while True:  # gRPC's thread may wait for a request that will not come
            try:
                self._requests.put_nowait(None)
            except queue.Full:
                with suppress(queue.Empty):
                    self._requests.get_nowait()
            else:
                return

    def check(self, now: float) -> None:
        """Break the stream off if ingest has had time enough; for another thread."""
        if now > self._until:
            self._late = True
            self._call.cancel()

    def _send(self, request: calls.StoreRequest) -> None:
        if self.broken:
            raise UndeliveredError("ingest-broke-off")
        self._put(request)

    def _put(self, request: calls.StoreRequest | None) -> None:
        until = time.monotonic() + self._seconds
        while True:
            try:
                self._requests.put(request, timeout=_LOOK_SECONDS)
            except queue.Full:
                if self.broken:
                    raise UndeliveredError("ingest-broke-off") from None
                if time.monotonic() > until:
                    raise UndeliveredError("ingest-too-slow") from None
            else:
                return

    def _reply(self) -> object:
        self._until = time.monotonic() + self._seconds
        try:
            return next(self._call, None)
        except grpc.RpcError:
            raise UndeliveredError("ingest-too-slow" if self._late else "ingest-broke-off") from None
        finally:
            self._until = float("inf")
