"""The other services, asked by gRPC: anonymise for the way back, archive for headers, ingest to store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import grpc.aio

from services.chassis import rpc
from services.chassis.faults import PassingFault
from services.chassis.principal import Principal
from services.contracts import calls
from services.encode.errors import JobUnknown, SourceGone, StoreRefused, StoreUnavailable
from services.encode.model import Document, Original, OriginalInput

_PRINCIPAL = Principal.service("encode")
_ASK_SECONDS = 20.0
_PIXEL_SECONDS = 120.0
_STORE_SECONDS = 300.0
_NATIVE = "1.2.840.10008.1.2.1"


class AnonymiseAirlock:
    """The way back from pseudonyms, asked of anonymise."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = calls.AnonymiseStub(channel)  # type: ignore[no-untyped-call]  # generated

    async def reidentify(self, job_id: str) -> Original:
        """The original identifiers of the job's source; see `services.encode.ports.Airlock`."""
        request = calls.ReidentifyRequest(job_id=job_id)
        with rpc.call("Anonymise/Reidentify", _PRINCIPAL) as metadata:
            try:
                reply = await self._stub.Reidentify(request, metadata=metadata, timeout=_ASK_SECONDS)
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.NOT_FOUND:
                    raise JobUnknown from None
                raise rpc.fault_of(error) from None
        return Original(
            reply.study_instance_uid,
            reply.series_instance_uid,
            reply.revision,
            reply.supersedes,
            dict(reply.sop_instance_uids),
            tuple(
                OriginalInput(one.name, one.study_instance_uid, one.series_instance_uid, tuple(one.sop_instance_uids))
                for one in reply.inputs
            ),
        )


class ArchiveHeaders:
    """Headers of stored instances, asked of archive."""

    def __init__(self, channel: grpc.aio.Channel, *, concurrency: int, picture_max_bytes: int = 1 << 29) -> None:
        self._stub = calls.ArchiveStub(channel)  # type: ignore[no-untyped-call]  # generated
        self._concurrency = concurrency
        self._picture_max_bytes = picture_max_bytes

    async def headers(self, original: Original | OriginalInput, sop_instance_uids: Sequence[str]) -> list[bytes]:
        """The headers of instances of the source series; see `services.encode.ports.SourceArchive`."""
        free = asyncio.Semaphore(self._concurrency)
        study, series = original.study_instance_uid, original.series_instance_uid

        async def read(sop_instance_uid: str, metadata: tuple[tuple[str, str], ...]) -> bytes | None:
            async with free:
                return await self._header(study, series, sop_instance_uid, metadata)

        # One span for all of them: a hundred say nothing more.
        with rpc.call("Archive/ReadInstance", _PRINCIPAL) as metadata:
            found = await asyncio.gather(*(read(uid, metadata) for uid in sop_instance_uids))
        headers = [header for header in found if header is not None]
        if len(headers) < len(found):
            raise SourceGone(len(found) - len(headers), len(found))
        return headers

    async def pixels(self, original: Original, sop_instance_uid: str) -> bytes | None:
        """An instance with its pixels, uncompressed; see `services.encode.ports.SourceArchive`."""
        request = calls.ReadInstanceRequest(
            study_instance_uid=original.study_instance_uid,
            series_instance_uid=original.series_instance_uid,
            sop_instance_uid=sop_instance_uid,
            transfer_syntax_uid=_NATIVE,
        )
        with rpc.call("Archive/ReadInstance", _PRINCIPAL) as metadata:
            data = bytearray()
            try:
                chunks = self._stub.ReadInstance(request, metadata=metadata, timeout=_PIXEL_SECONDS)
                async for chunk in chunks:
                    data += chunk.data
                    if len(data) > self._picture_max_bytes:
                        chunks.cancel()
                        return None
            except grpc.aio.AioRpcError as error:
                fault = rpc.fault_of(error)
                if isinstance(fault, PassingFault):
                    raise fault from None
                return None
        return bytes(data)

    async def holds(self, study_instance_uid: str, series_instance_uid: str, sop_instance_uid: str) -> bool:
        """Says whether an instance is there."""
        with rpc.call("Archive/ReadInstance", _PRINCIPAL) as metadata:
            header = await self._header(study_instance_uid, series_instance_uid, sop_instance_uid, metadata)
        return header is not None

    async def _header(self, study: str, series: str, uid: str, metadata: tuple[tuple[str, str], ...]) -> bytes | None:
        request = calls.ReadInstanceRequest(
            study_instance_uid=study, series_instance_uid=series, sop_instance_uid=uid, header_only=True
        )
        try:
            chunks = self._stub.ReadInstance(request, metadata=metadata, timeout=_ASK_SECONDS)
            return b"".join([chunk.data async for chunk in chunks])
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return None
            raise rpc.fault_of(error) from None


class IngestDoor:
    """The front door."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = calls.IngestStub(channel)  # type: ignore[no-untyped-call]  # generated

    async def store(self, documents: Sequence[Document]) -> None:
        """Keep the documents, in one delivery; see `services.encode.ports.FrontDoor`."""
        answers = {}
        with rpc.call("Ingest/Store", _PRINCIPAL) as metadata:
            try:
                replies = self._stub.Store(_requests(documents), metadata=metadata, timeout=_STORE_SECONDS)
                async for reply in replies:
                    answers[reply.sequence] = reply
            except grpc.aio.AioRpcError as error:
                raise rpc.fault_of(error) from None
        for document in documents:
            _check(document, answers.get(document.sop_instance_uid))


def _check(document: Document, reply: calls.StoreReply | None) -> None:
    match reply.outcome if reply else None:
        case (
            calls.StoreReply.OUTCOME_STORED
            | calls.StoreReply.OUTCOME_UNCHANGED
            # An earlier try of this job stored it: the same document in other bytes. The first one counts.
            | calls.StoreReply.OUTCOME_KEPT_FIRST
        ):
            return
        case calls.StoreReply.OUTCOME_REFUSED:
            raise StoreRefused(document.kind, reply.reason_code if reply else "")
        case _:
            raise StoreUnavailable


async def _requests(documents: Sequence[Document]) -> AsyncIterator[calls.StoreRequest]:
    for document in documents:
        begin = calls.Begin(
            sequence=document.sop_instance_uid,
            sop_class_uid=document.sop_class_uid,
            sop_instance_uid=document.sop_instance_uid,
        )
        yield calls.StoreRequest(begin=begin)
        for start in range(0, len(document.data), calls.CHUNK_BYTES):
            yield calls.StoreRequest(chunk=document.data[start : start + calls.CHUNK_BYTES])
        yield calls.StoreRequest(end=calls.End())
