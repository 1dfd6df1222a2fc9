"""What the compute zone may do on the bus: the privacy claim is a property of this wiring."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.api import ConsumerConfig, StreamConfig
from nats.js.errors import APIError

from services.contracts import subjects
from services.launcher.mesh import Mesh
from services.launcher.settings import Settings

MAY_SAY = (
    subjects.JOB_INFERRED,
    subjects.JOB_FAILED,
    subjects.JOB_PROGRESSED,
    subjects.AUDIT_RECORDED,
    f"{subjects.DEAD}.inference-job-released",
)
MUST_NOT_SAY = (
    subjects.INSTANCE_STORED,
    subjects.SERIES_SETTLED,
    subjects.JOB_REQUESTED,
    subjects.JOB_RELEASED,
    subjects.JOB_COMPLETED,
    subjects.JOB_CANCELLED,
    "_INBOX_ingest.x",
)


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    folder: Path = tmp_path_factory.mktemp("bus")
    with Mesh(Settings.on_free_ports(folder, parts=["nats"])) as mesh:
        yield mesh


@asynccontextmanager
async def _as(mesh: Mesh, user: str) -> AsyncIterator[tuple[Client, list[str]]]:
    password = (mesh.settings.secrets / f"nats_{user}").read_text()
    errors: list[str] = []

    async def note(error: Exception) -> None:
        errors.append(str(error))

    client = await nats.connect(
        f"nats://{user}:{password}@{mesh.address('nats')}", inbox_prefix=f"_INBOX_{user}".encode(), error_cb=note
    )
    try:
        yield client, errors
    finally:
        await client.close()


async def _streams(client: Client) -> None:
    for stream in subjects.STREAMS:
        await client.jetstream().add_stream(StreamConfig(name=stream.name, subjects=list(stream.subjects)))


async def _refused(client: Client, errors: list[str]) -> bool:
    """Whether the server has said no, which it may say a little after it has answered a ping."""
    await client.flush()
    for _ in range(20):
        if any("permissions violation" in error.lower() for error in errors):
            return True
        await asyncio.sleep(0.02)
    return False


@pytest.mark.parametrize("options", ["{}", '{"user": "inference", "pass": "wrong"}', '{"user": "ingest"}'])
async def test_without_a_password_nobody_gets_in(mesh: Mesh, options: str) -> None:
    host, port = mesh.address("nats").rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, int(port))
    await reader.readline()  # INFO
    writer.write(f"CONNECT {options}\r\nPING\r\n".encode())
    assert b"Authorization Violation" in await reader.readline()
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("subject", MAY_SAY)
async def test_the_compute_zone_may_say_what_became_of_a_job(mesh: Mesh, subject: str) -> None:
    async with _as(mesh, "inference") as (client, errors):
        await client.publish(subject, b"x")
        assert not await _refused(client, errors), errors


@pytest.mark.parametrize("subject", MUST_NOT_SAY)
async def test_the_compute_zone_may_say_nothing_else(mesh: Mesh, subject: str) -> None:
    async with _as(mesh, "inference") as (client, errors):
        await client.publish(subject, b"x")
        assert await _refused(client, errors)


@pytest.mark.parametrize("subject", [">", "plexus.>", "_INBOX_ingest.>", "_INBOX.>", "$JS.>", *MUST_NOT_SAY])
async def test_the_compute_zone_can_listen_to_nothing_but_its_own_answers(mesh: Mesh, subject: str) -> None:
    async with _as(mesh, "inference") as (client, errors):
        await client.subscribe(subject)
        assert await _refused(client, errors)


async def test_the_compute_zone_reads_and_acknowledges_its_stream(mesh: Mesh) -> None:
    async with _as(mesh, "operator") as (hospital, _), _as(mesh, "inference") as (compute, errors):
        await _streams(hospital)
        await hospital.jetstream().publish(subjects.JOB_RELEASED, b"job")
        pull = await compute.jetstream().pull_subscribe(
            subjects.JOB_RELEASED, "inference-job-released", subjects.COMPUTE.name, ConsumerConfig()
        )
        (message,) = await pull.fetch(1, timeout=5)
        assert message.data == b"job"
        await message.ack_sync()
        await compute.jetstream().publish(subjects.JOB_INFERRED, b"done")
        assert errors == []


async def test_the_compute_zone_cannot_read_make_or_delete_another_stream(mesh: Mesh) -> None:
    async with _as(mesh, "operator") as (hospital, _), _as(mesh, "inference") as (compute, _errors):
        await _streams(hospital)
        streams = compute.jetstream(timeout=1)
        refused = (NatsTimeoutError, APIError, TimeoutError)
        with pytest.raises(refused):
            await streams.pull_subscribe(subjects.SERIES_SETTLED, "spy", subjects.HOSPITAL.name, ConsumerConfig())
        with pytest.raises(refused):
            await streams.add_stream(StreamConfig(name="MINE", subjects=["plexus.mine"]))
        with pytest.raises(refused):
            await streams.delete_stream(subjects.COMPUTE.name)
        with pytest.raises(refused):
            await streams.get_msg(subjects.HOSPITAL.name, 1)
