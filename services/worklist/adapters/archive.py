"""The archive, asked by gRPC."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import grpc.aio

from services.chassis import rpc
from services.chassis.principal import Principal
from services.contracts.calls import LEVEL_SERIES, LEVEL_STUDY, ArchiveStub, FindRequest, Key, SeriesRef
from services.worklist.errors import UnreadableSeriesError
from services.worklist.ports import Series
from services.worklist.ups.building import first

_DEADLINE_SECONDS = 30
"""An archive that restarts is waited for."""
_SERIES_UID = "0020000E"
_STUDY_UID = "0020000D"
_OF_A_STUDY = (_STUDY_UID, "00080020", "00080030", "00100020", "00100021", "00100030")
"""Study Instance UID, Study Date and Time, Patient ID with its issuer, birth date."""


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
        return Series(_read(reply.attributes), reply.digest, reply.instances, revision=reply.revision)

    async def references(self, study_instance_uid: str, series_instance_uid: str) -> Sequence[tuple[str, str]]:
        """SOP class and SOP instance of each instance of a series."""
        ref = SeriesRef(study_instance_uid=study_instance_uid, series_instance_uid=series_instance_uid)
        with _asking("ListInstances") as metadata:
            reply = await self._stub.ListInstances(ref, metadata=metadata, timeout=self._deadline, wait_for_ready=True)
        return [(each.sop_class_uid, each.sop_instance_uid) for each in reply.instances]

    async def series_of(self, study_instance_uid: str) -> Sequence[str]:
        """The series of a study, by their UIDs."""
        keys = [Key(name="StudyInstanceUID", value=study_instance_uid)]
        found = await self._find(FindRequest(level=LEVEL_SERIES, keys=keys, include=[_SERIES_UID]))
        return [uid for each in found if (uid := first(each, "SeriesInstanceUID"))]

    async def studies_of(self, patient_id: str) -> Sequence[dict[str, Any]]:
        """What tells of each study of a Patient ID; see the port."""
        keys = [Key(name="PatientID", value=patient_id)]
        return await self._find(FindRequest(level=LEVEL_STUDY, keys=keys, include=_OF_A_STUDY))

    async def study_of(self, series_instance_uid: str) -> str:
        """The study of a series; see the port."""
        keys = [Key(name="SeriesInstanceUID", value=series_instance_uid)]
        found = await self._find(FindRequest(level=LEVEL_SERIES, keys=keys, include=[_STUDY_UID]))
        studies = {first(each, "StudyInstanceUID") for each in found}
        return studies.pop() if len(studies) == 1 else ""

    async def _find(self, request: FindRequest) -> list[dict[str, Any]]:
        with _asking("Find") as metadata:
            replies = self._stub.Find(request, metadata=metadata, timeout=self._deadline, wait_for_ready=True)
            return [_read(match) async for reply in replies for match in reply.matches]


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
