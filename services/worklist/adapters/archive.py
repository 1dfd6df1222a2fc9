"""The archive, asked by gRPC."""

from __future__ import annotations

import json

import grpc.aio

from services.chassis import rpc
from services.chassis.principal import Principal
from services.contracts.calls import ArchiveStub, SeriesRef
from services.worklist.errors import UnreadableSeriesError
from services.worklist.ports import Attributes

_DEADLINE_SECONDS = 30
"""An archive that restarts is waited for."""


class GrpcArchive:
    """Where series lie."""

    def __init__(self, channel: grpc.aio.Channel, *, deadline_seconds: float = _DEADLINE_SECONDS) -> None:
        self._deadline = deadline_seconds
        self._stub = ArchiveStub(channel)  # type: ignore[no-untyped-call]  # generated code has no types

    async def describe(self, study_instance_uid: str, series_instance_uid: str) -> Attributes:
        """The attributes of one instance that stands for the series, without bulk data."""
        ref = SeriesRef(study_instance_uid=study_instance_uid, series_instance_uid=series_instance_uid)
        try:
            with rpc.call("Archive/DescribeSeries", Principal.service("worklist")) as metadata:
                reply = await self._stub.DescribeSeries(
                    ref, metadata=metadata, timeout=self._deadline, wait_for_ready=True
                )
        except grpc.aio.AioRpcError as error:
            raise rpc.fault_of(error) from None
        try:
            attributes = json.loads(reply.attributes)
        except ValueError as error:
            raise UnreadableSeriesError from error
        if not isinstance(attributes, dict):
            raise UnreadableSeriesError
        return attributes
