"""The archive by gRPC: what it answers, and what its failures mean."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from services.chassis import rpc
from services.chassis.faults import PassingFault, PermanentFault
from services.chassis.log import Log
from services.contracts.calls import (
    ArchiveServicer,
    FindReply,
    FindRequest,
    InstanceList,
    InstanceRef,
    SeriesDescription,
    SeriesRef,
    add_ArchiveServicer_to_server,
)
from services.launcher.settings import free_port
from services.worklist.adapters.archive import GrpcArchive
from services.worklist.errors import UnreadableSeriesError


class Archive(ArchiveServicer):
    def __init__(self, answer: bytes | Exception) -> None:
        self.answer = answer
        self.caller = ""

    async def DescribeSeries(self, request: SeriesRef, context: Any) -> SeriesDescription:
        self.caller = rpc.caller().subject
        if isinstance(self.answer, Exception):
            raise self.answer
        return SeriesDescription(attributes=self.answer)

    async def ListInstances(self, request: SeriesRef, context: Any) -> InstanceList:
        return InstanceList(instances=[InstanceRef(sop_class_uid="1.2", sop_instance_uid=request.series_instance_uid)])

    async def Find(self, request: FindRequest, context: Any) -> AsyncIterator[FindReply]:
        (key,) = request.keys
        for number in (1, 2):
            found = {request.include[0]: {"vr": "UI", "Value": [f"{key.value}.{number}"]}}
            yield FindReply(matches=[json.dumps(found).encode()])


async def describe(archive: Archive) -> Any:
    async with asking(archive) as asked:
        return await asked.describe("1.2", "1.2.3")


@asynccontextmanager
async def asking(archive: Archive) -> AsyncIterator[GrpcArchive]:
    port = free_port()

    def add(server: Any) -> None:
        add_ArchiveServicer_to_server(archive, server)  # type: ignore[no-untyped-call]  # generated

    async with (
        rpc.serving("127.0.0.1", port, log=Log("test"), grace=0, add=add),
        rpc.channel(f"127.0.0.1:{port}") as channel,
    ):
        yield GrpcArchive(channel)


async def test_the_series_of_a_study_and_the_instances_of_a_series_are_named() -> None:
    async with asking(Archive(b"{}")) as asked:
        assert await asked.series_of("1.2") == ["1.2.1", "1.2.2"]
        assert await asked.references("1.2", "1.2.1") == [("1.2", "1.2.1")]


async def test_a_series_is_described_to_the_service_that_asks() -> None:
    archive = Archive(b'{"00080060": {"vr": "CS", "Value": ["CT"]}}')
    assert (await describe(archive)).attributes == {"00080060": {"vr": "CS", "Value": ["CT"]}}
    assert archive.caller == "service:worklist"


@pytest.mark.parametrize("answer", [b"", b"[]", b"{", b"\xff"])
async def test_an_answer_that_is_no_dicom_json_object_is_a_permanent_fault(answer: bytes) -> None:
    with pytest.raises(UnreadableSeriesError):
        await describe(Archive(answer))


@pytest.mark.parametrize("fault", [PermanentFault("no-such-series", "it is not here"), PassingFault("busy", "later")])
async def test_a_fault_of_the_archive_stays_what_it_is(fault: PassingFault | PermanentFault) -> None:
    with pytest.raises(type(fault)):
        await describe(Archive(fault))


async def test_an_archive_that_is_away_is_a_passing_fault() -> None:
    async with rpc.channel(f"127.0.0.1:{free_port()}") as channel:
        with pytest.raises(PassingFault):
            await GrpcArchive(channel, deadline_seconds=0.2).describe("1.2", "1.2.3")
