"""The archive, asked by gRPC."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import grpc.aio

from services.chassis import rpc
from services.chassis.principal import Principal
from services.contracts.calls import LEVEL_SERIES, ArchiveStub, FindRequest, Key, SeriesRef
from services.worklist.errors import UnreadableSeriesError
from services.worklist.ports import Series
from services.worklist.ups.building import first

_DEADLINE_SECONDS = 30
"""An archive that restarts is waited for."""
_SERIES_UID = "0020000E"


class GrpcArchive:
    """Where series lie."""

    def __init__(self, channel: grpc.aio.Channel, *, deadline_seconds: float = _DEADLINE_SECONDS) -> None:
        self._deadline = deadline_seconds
        self._stub = ArchiveStub(channel)  # type: ignore[no-untyped-call]  # generated code has no types

    async def describe(self, study_instance_uid: str, series_instance_uid: str) -> Series:
        """A series, without its references."""
        ref = SeriesRef(study_instance_uid=study_instance_uid, series_instance_uid=series_instance_uid)
        with _asking("DescribeSeries") as metadata:
            reply = await self._stub.DescribeSeries(ref, metadata=metadata, timeout=self._deadline, wait_for_ready=True)
        return Series(_read(reply.attributes), reply.digest, reply.instances)

    async def references(self, study_instance_uid: str, series_instance_uid: str) -> Sequence[tuple[str, str]]:
        """SOP class and SOP instance of each instance of a series."""
        ref = SeriesRef(study_instance_uid=study_instance_uid, series_instance_uid=series_instance_uid)
        with _asking("ListInstances") as metadata:
            reply = await self._stub.ListInstances(ref, metadata=metadata, timeout=self._deadline, wait_for_ready=True)
        return [(each.sop_class_uid, each.sop_instance_uid) for each in reply.instances]

    async def series_of(self, study_instance_uid: str) -> Sequence[str]:
        """The series of a study, by their UIDs."""
        keys = [Key(name="StudyInstanceUID", value=study_instance_uid)]
        request = FindRequest(level=LEVEL_SERIES, keys=keys, include=[_SERIES_UID])
        with _asking("Find") as metadata:
            replies = self._stub.Find(request, metadata=metadata, timeout=self._deadline, wait_for_ready=True)
            found = [_read(match) async for reply in replies for match in reply.matches]
        return [uid for each in found if (uid := first(each, "SeriesInstanceUID"))]


@contextmanager
def _asking(call: str) -> Iterator[tuple[tuple[str, str], ...]]:
    try:
        with rpc.call(f"Archive/{call}", Principal.service("worklist")) as metadata:
            yield metadata
    except grpc.aio.AioRpcError as error:
        raise rpc.fault_of(error) from None


def _read(attributes: bytes) -> dict[str, Any]:
    try:
        found = json.loads(attributes)
    except ValueError as error:
        raise UnreadableSeriesError from error
    if not isinstance(found, dict):
        raise UnreadableSeriesError
    return found
