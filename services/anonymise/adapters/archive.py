"""The archive, asked by gRPC."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import grpc.aio

from services.anonymise.errors import SeriesChangedError
from services.anonymise.model import Listed, Listing
from services.anonymise.ports import Read
from services.chassis import rpc
from services.chassis.principal import Principal
from services.contracts import calls

_PRINCIPAL = Principal.service("anonymise")
_LIST_SECONDS = 10.0
_READ_SECONDS = 60.0


class GrpcArchive:
    """Where the identifiable instances lie."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = calls.ArchiveStub(channel)  # type: ignore[no-untyped-call]  # generated code has no types

    async def list(self, study_instance_uid: str, series_instance_uid: str) -> Listing:
        """The instances of a series now; see `services.anonymise.ports.SourceArchive`."""
        ref = calls.SeriesRef(study_instance_uid=study_instance_uid, series_instance_uid=series_instance_uid)
        try:
            with rpc.call("Archive/ListInstances", _PRINCIPAL) as metadata:
                reply = await self._stub.ListInstances(ref, metadata=metadata, timeout=_LIST_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise _fault_of(error) from None
        instances = (Listed(one.sop_instance_uid, one.sop_class_uid, one.digest, one.bytes) for one in reply.instances)
        return Listing(reply.digest, tuple(instances))

    @contextmanager
    def reading(self, study_instance_uid: str, series_instance_uid: str) -> Iterator[Read]:
        """A way to read instances of a series; see `services.anonymise.ports.SourceArchive`."""

        async def read(instance: Listed) -> bytes:
            request = calls.ReadInstanceRequest(
                study_instance_uid=study_instance_uid,
                series_instance_uid=series_instance_uid,
                sop_instance_uid=instance.sop_instance_uid,
            )
            try:
                chunks = self._stub.ReadInstance(request, metadata=metadata, timeout=_READ_SECONDS)
                return b"".join([chunk.data async for chunk in chunks])
            except grpc.aio.AioRpcError as error:
                raise _fault_of(error) from None

        # One span for all of them: a hundred say nothing more.
        with rpc.call("Archive/ReadInstance", _PRINCIPAL) as metadata:
            yield read


def _fault_of(error: grpc.aio.AioRpcError) -> Exception:
    if error.code() is grpc.StatusCode.NOT_FOUND:  # it was there when the job was made
        return SeriesChangedError()
    return rpc.fault_of(error)
