"""The archive over gRPC (`proto/…/archive.proto`), asked in the name of the peer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from typing import Any, Final

import grpc
import grpc.aio

from services.bridge.errors import UnansweredError, UnheldError
from services.bridge.exchanging import Found, Held, Place, Recipient
from services.bridge.information import Inquiry, Level, Retrieval
from services.chassis import rpc
from services.chassis.faults import PassingFault
from services.chassis.principal import Principal
from services.contracts import calls
from services.dicom.part10 import InstanceError, data_set_start

_LEVELS: Final = {
    Level.PATIENT: calls.LEVEL_PATIENT,
    Level.STUDY: calls.LEVEL_STUDY,
    Level.SERIES: calls.LEVEL_SERIES,
    Level.IMAGE: calls.LEVEL_IMAGE,
}
_HELD: Final = {
    calls.CheckReply.HOLDING_HELD: Held.HELD,
    calls.CheckReply.HOLDING_ABSENT: Held.ABSENT,
    calls.CheckReply.HOLDING_OTHER_CLASS: Held.OTHER_CLASS,
}


class ArchiveLibrary:
    """`Results`, and so `Library`, by gRPC.

    Args:
        channel: to the archive.
        seconds: how long one call may take; for an instance, one chunk may take so long.
    """

    def __init__(self, channel: grpc.aio.Channel, *, seconds: float) -> None:
        self._stub = calls.ArchiveStub(channel)  # type: ignore[no-untyped-call]  # generated
        self._seconds = seconds

    async def find(self, inquiry: Inquiry, principal: Principal) -> AsyncGenerator[Found]:
        """See `Library.find`."""
        request = calls.FindRequest(
            level=_LEVELS[inquiry.level],
            keys=[calls.Key(name=name, value=value) for name, value in inquiry.keys],
            include=inquiry.include,
        )
        with _faults(), rpc.call("plexus.archive.v1.Archive/Find", principal) as metadata:
            async for reply in self._stub.Find(request, metadata=metadata, timeout=self._seconds):
                yield Found(tuple(reply.warnings), tuple(reply.matches), reply.more)

    async def locate(self, retrieval: Retrieval, principal: Principal) -> list[Place]:
        """See `Library.locate`."""
        request = calls.LocateRequest(
            level=_LEVELS[retrieval.level],
            patient_id=retrieval.patient_id,
            study_instance_uids=retrieval.studies,
            series_instance_uids=retrieval.series,
            sop_instance_uids=retrieval.instances,
        )
        with _faults(), rpc.call("plexus.archive.v1.Archive/Locate", principal) as metadata:
            return [
                Place(
                    place.study_instance_uid,
                    place.series_instance_uid,
                    place.sop_instance_uid,
                    place.sop_class_uid,
                    place.transfer_syntax_uid,
                    place.bytes,
                )
                async for reply in self._stub.Locate(request, metadata=metadata, timeout=self._seconds)
                for place in reply.places
            ]

    async def read(
        self, place: Place, transfer_syntax_uid: str, principal: Principal, *, to: Recipient | None = None
    ) -> AsyncGenerator[bytes]:
        """See `Library.read`: the file's preamble and file meta information are left out."""
        as_stored = transfer_syntax_uid == place.transfer_syntax_uid
        whole = self._file(place, "" if as_stored else transfer_syntax_uid, principal, to)
        async with aclosing(whole) as chunks, aclosing(_data_set(chunks)) as data_set:
            async for data in data_set:
                yield data

    async def file(self, place: Place, principal: Principal, *, to: Recipient | None = None) -> AsyncGenerator[bytes]:
        """See `Results.file`."""
        async with aclosing(self._file(place, "", principal, to)) as chunks:
            async for data in chunks:
                yield data

    async def _file(
        self, place: Place, transfer_syntax_uid: str, principal: Principal, to: Recipient | None
    ) -> AsyncGenerator[bytes]:
        """The file, as stored or in another transfer syntax."""
        request = calls.ReadInstanceRequest(
            study_instance_uid=place.study_instance_uid,
            series_instance_uid=place.series_instance_uid,
            sop_instance_uid=place.sop_instance_uid,
            transfer_syntax_uid=transfer_syntax_uid,
            destination=to.name if to else "",
            destination_address=to.host if to else "",
        )
        with _faults(), rpc.call("plexus.archive.v1.Archive/ReadInstance", principal) as metadata:
            call = self._stub.ReadInstance(request, metadata=metadata)
            try:
                async for data in self._chunks(call):
                    yield data
            finally:
                call.cancel()  # nothing, once it is read to its end

    async def check(self, references: Sequence[tuple[str, str]], principal: Principal) -> list[Held]:
        """See `Library.check`."""
        request = calls.CheckRequest(
            references=[calls.Reference(sop_class_uid=of_class, sop_instance_uid=uid) for of_class, uid in references]
        )
        with _faults(), rpc.call("plexus.archive.v1.Archive/Check", principal) as metadata:
            reply = await self._stub.Check(request, metadata=metadata, timeout=self._seconds)
        if len(reply.holdings) != len(references):
            raise UnansweredError("archive-incomplete", "the archive did not answer for every instance")
        # What we do not understand is not a promise.
        return [_HELD.get(each, Held.DAMAGED) for each in reply.holdings]

    async def _chunks(self, call: Any) -> AsyncIterator[bytes]:
        while True:
            try:
                async with asyncio.timeout(self._seconds):
                    chunk = await call.read()
            except TimeoutError:
                raise UnansweredError("archive-too-slow", "the archive does not send an instance") from None
            if chunk is grpc.aio.EOF:
                return
            yield chunk.data


async def _data_set(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    """The file without what comes before its data set; that fits into its first chunk."""
    first = True
    async for chunk in chunks:
        start = 0
        if first:
            first = False
            try:
                start = data_set_start(chunk)
            except InstanceError:
                raise UnheldError("not-a-file", "the archive gave no file") from None
        yield chunk[start:]


@contextmanager
def _faults() -> Iterator[None]:
    try:
        yield
    except grpc.aio.AioRpcError as error:
        fault = rpc.fault_of(error)
        kind = UnansweredError if isinstance(fault, PassingFault) else UnheldError
        raise kind(fault.code, fault.reason) from None
