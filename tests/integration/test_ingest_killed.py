"""`kill -9` of ingest in the middle of a delivery: what was said to be stored is there, and the series settles."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import grpc.aio
import nats
import pytest
from nats.js.api import ConsumerConfig, DeliverPolicy

from services.contracts import calls, subjects
from services.contracts.events import SeriesSettled
from services.dicom import uids
from services.dicom.part10 import parse_instance
from services.store.file_objects import FileObjects
from services.store.model import series_digest
from tests.integration.ingest_process import Process, process  # noqa: F401  # a fixture
from tests.unit.ingest.made import made

_COUNT = 60


async def deliver(address: str, files: list[bytes], outcomes: dict[int, int], *, until: int = _COUNT) -> None:
    """Send files until `until` replies have come; an outcome is what the sender was told."""
    async with grpc.aio.insecure_channel(address) as channel:
        await asyncio.wait_for(channel.channel_ready(), 60)
        call = calls.IngestStub(channel).Store()

        async def send() -> None:
            for number, file in enumerate(files):
                await call.write(calls.StoreRequest(begin=calls.Begin(sequence=str(number))))
                await call.write(calls.StoreRequest(chunk=file))
                await call.write(calls.StoreRequest(end=calls.End()))
            await call.done_writing()

        sending = asyncio.create_task(send())
        while len(outcomes) < until:
            reply = await call.read()
            if reply is grpc.aio.EOF:
                break
            outcomes[int(reply.sequence)] = reply.outcome
        if until == _COUNT:
            await sending
            assert await call.read() is grpc.aio.EOF
        else:
            sending.cancel()


async def test_what_was_said_to_be_stored_survives_a_kill_and_the_series_settles(
    process: Process,  # noqa: F811
    database_url: str,
    nats_url: str,
    tmp_path: Path,
) -> None:
    study, series = uids.new_uid(), uids.new_uid()
    files = [made(64, StudyInstanceUID=study, SeriesInstanceUID=series, InstanceNumber=n) for n in range(_COUNT)]
    client = await nats.connect(nats_url)
    told: dict[int, int] = {}
    await deliver(process.address, files, told, until=_COUNT // 2)
    process.kill()
    database = await asyncpg.connect(database_url)
    rows = await database.fetch("SELECT sop_instance_uid, encode(digest, 'hex') AS digest FROM index.instance")
    stored = {row["sop_instance_uid"]: row["digest"] for row in rows}

    assert set(told.values()) == {calls.StoreReply.OUTCOME_STORED}
    assert {parse_instance(files[number]).sop_instance_uid for number in told} <= set(stored)
    objects = FileObjects(tmp_path / "objects")
    for file in files:
        if digest := stored.get(parse_instance(file).sop_instance_uid):
            assert await objects.read(digest) == file

    heard = await client.jetstream().subscribe(
        subjects.SERIES_SETTLED, config=ConsumerConfig(deliver_policy=DeliverPolicy.NEW)
    )
    process.start()
    partial = SeriesSettled.from_bytes((await heard.next_msg(60)).data)
    assert (partial.series_instance_uid, partial.revision, partial.instances) == (series, 1, len(stored))
    assert partial.digest == series_digest(stored.items())

    again: dict[int, int] = {}
    await deliver(process.address, files, again)
    whole = SeriesSettled.from_bytes((await heard.next_msg(60)).data)
    assert set(again.values()) <= {calls.StoreReply.OUTCOME_STORED, calls.StoreReply.OUTCOME_UNCHANGED}
    assert all(again[number] == calls.StoreReply.OUTCOME_UNCHANGED for number in told)
    assert (whole.revision, whole.instances) == (2, _COUNT)
    assert await database.fetchval("SELECT count(*) FROM index.instance") == _COUNT
    await database.close()
    await client.close()


@pytest.mark.parametrize("process", [{"PLEXUS_INGEST_CONFLICTS": "keep-last"}], indirect=True)
async def test_a_kill_while_one_version_takes_the_place_of_another_loses_neither(
    process: Process,  # noqa: F811
    database_url: str,
    tmp_path: Path,
) -> None:
    names = [{"StudyInstanceUID": uids.new_uid(), "SOPInstanceUID": uids.new_uid()} for _ in range(_COUNT)]
    first, second = ([made(64, **each, InstanceNumber=number) for each in names] for number in (1, 2))
    told: dict[int, int] = {}
    await deliver(process.address, first, told)
    assert set(told.values()) == {calls.StoreReply.OUTCOME_STORED}
    replaced: dict[int, int] = {}
    await deliver(process.address, second, replaced, until=_COUNT // 2)
    process.kill()

    database = await asyncpg.connect(database_url)
    objects = FileObjects(tmp_path / "objects")
    served = dict(await database.fetch("SELECT sop_instance_uid, encode(digest, 'hex') FROM index.instance"))
    evidence = dict(await database.fetch("SELECT sop_instance_uid, encode(digest, 'hex') FROM index.conflict"))
    for number, each in enumerate(names):
        uid = each["SOPInstanceUID"]
        now = await objects.read(served[uid])
        assert now in (first[number], second[number])
        if now == second[number]:
            assert await objects.read(evidence[uid]) == first[number]
        else:
            assert number not in replaced and uid not in evidence
    await database.close()
    process.start()  # the fixture ends it
