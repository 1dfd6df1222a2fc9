"""The service as its own process, with PostgreSQL, NATS and an archive behind gRPC."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
import nats
import pydicom
import pytest
import pytest_asyncio
from nats.aio.client import Client

from services.chassis import rpc
from services.chassis.bus import Bus, connected
from services.chassis.faults import PermanentFault
from services.chassis.health import Health
from services.chassis.log import Log
from services.chassis.principal import Principal
from services.contracts import calls, subjects
from services.contracts.events import AuditRecorded, JobFailed, JobReleased, JobRequested
from services.launcher.settings import free_port
from tests.unit.anonymise.planted import ct, element, part10

_SECONDS = 60
_KEY = b"k" * 32


class Archive(calls.ArchiveServicer):
    """An archive of one series, over real gRPC."""

    def __init__(self, files: list[bytes]) -> None:
        self.files = {str(pydicom.dcmread(io.BytesIO(data)).SOPInstanceUID): data for data in files}
        first = pydicom.dcmread(io.BytesIO(files[0]))
        self.seconds = 0.0
        """How long a read takes."""
        self.study, self.series = str(first.StudyInstanceUID), str(first.SeriesInstanceUID)

    @property
    def digest(self) -> str:
        return hashlib.sha256("".join(sorted(self.files)).encode()).hexdigest()

    async def ListInstances(self, request: calls.SeriesRef, context: object) -> calls.InstanceList:
        refs = [
            calls.InstanceRef(
                sop_instance_uid=uid,
                sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
                digest=hashlib.sha256(data).hexdigest(),
                bytes=len(data),
            )
            for uid, data in sorted(self.files.items())
        ]
        return calls.InstanceList(digest=self.digest, instances=refs)

    async def ReadInstance(self, request: calls.ReadInstanceRequest, context: object) -> AsyncIterator[calls.Chunk]:
        await asyncio.sleep(self.seconds)
        data = self.files[request.sop_instance_uid]
        for start in range(0, len(data), calls.CHUNK_BYTES):
            yield calls.Chunk(data=data[start : start + calls.CHUNK_BYTES])

    def request(self, **more: object) -> JobRequested:
        return JobRequested(
            uuid4().hex, self.study, self.series, 1, str(more.get("digest", self.digest)), "ct-lung", "1.0.0"
        )


@dataclass
class Place:
    """Where the process runs."""

    folder: Path
    environment: dict[str, str]
    http: str
    grpc: str
    bus: Bus
    client: Client

    @property
    def work(self) -> Path:
        return self.folder / "work"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.subprocess.Process]:
        with (self.folder / "log").open("a") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "services.anonymise", env=self.environment, stdout=log, stderr=log
            )
        try:
            async with httpx.AsyncClient() as http, asyncio.timeout(_SECONDS):
                while process.returncode is None:
                    try:
                        if (await http.get(f"{self.http}/readyz")).is_success:
                            break
                    except httpx.TransportError:
                        await asyncio.sleep(0.05)
            yield process
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(process.wait(), _SECONDS)

    async def heard(self, subject: str, job_id: str) -> bytes:
        """The first message on `subject` that tells of the job."""
        subscription = await self.client.jetstream().subscribe(subject, ordered_consumer=True)
        try:
            while True:
                message = await subscription.next_msg(timeout=_SECONDS)
                if job_id.encode() in message.data:
                    return message.data
        finally:
            await subscription.unsubscribe()

    async def count(self, subject: str, job_id: str) -> int:
        """How many messages on `subject` tell of the job by now."""
        info = await self.client.jetstream().stream_info(
            await self.client.jetstream().find_stream_name_by_subject(subject)
        )
        subscription = await self.client.jetstream().subscribe(subject, ordered_consumer=True)
        found = 0
        for _ in range(info.state.messages):
            try:
                found += job_id.encode() in (await subscription.next_msg(timeout=0.5)).data
            except TimeoutError:
                break
        await subscription.unsubscribe()
        return found

    async def reidentify(self, job_id: str) -> calls.Original:
        async with rpc.channel(self.grpc) as channel:
            with rpc.call("Anonymise/Reidentify", Principal.service("encode")) as metadata:
                stub = calls.AnonymiseStub(channel)
                return await stub.Reidentify(calls.ReidentifyRequest(job_id=job_id), metadata=metadata, timeout=10)

    async def restore(self, job_id: str, data: bytes) -> bytes:
        """What a tool made, brought home; in small pieces, as a large one would come."""
        parts = [calls.RestoreRequest(job_id=job_id)]
        parts += [calls.RestoreRequest(chunk=data[at : at + 1000]) for at in range(0, len(data), 1000)]
        async with rpc.channel(self.grpc) as channel:
            with rpc.call("Anonymise/Restore", Principal.service("encode")) as metadata:
                replies = calls.AnonymiseStub(channel).Restore(iter(parts), metadata=metadata, timeout=10)
                return b"".join([reply.data async for reply in replies])


@pytest_asyncio.fixture
async def place(tmp_path: Path, database_url: str, nats_url: str, archive_port: int) -> AsyncIterator[Place]:
    key = tmp_path / "anonymise.key"
    key.write_bytes(_KEY)
    key.chmod(0o600)
    http_port, grpc_port = free_port(), free_port()
    settings = {
        "HTTP_PORT": http_port,
        "GRPC_PORT": grpc_port,
        "DATABASE_URL": database_url,
        "NATS_URL": nats_url,
        "ARCHIVE_ADDRESS": f"127.0.0.1:{archive_port}",
        "WORK_URL": f"file://{tmp_path / 'work'}",
        "KEY_FILE": key,
        "SPANS_FILE": tmp_path / "spans",
    }
    environment = {**os.environ, **{f"PLEXUS_ANONYMISE_{name}": str(value) for name, value in settings.items()}}
    async with AsyncExitStack() as parts:
        bus = await parts.enter_async_context(
            connected(
                nats_url,
                service="worklist",
                log=Log("test"),
                health=Health(),
                ack_wait_seconds=10,
                dead_subject=subjects.DEAD,
            )
        )
        await bus.ensure(subjects.STREAMS)
        client = await nats.connect(nats_url)
        for stream in subjects.STREAMS:
            await client.jetstream().purge_stream(stream.name)
        # A durable consumer of an earlier test remembers what it has handled; ours must begin anew.
        for consumer in ("anonymise-job-requested", "anonymise-job-cancelled"):
            with suppress(nats.js.errors.NotFoundError):
                await client.jetstream().delete_consumer(subjects.HOSPITAL.name, consumer)
        parts.push_async_callback(client.close)
        yield Place(tmp_path, environment, f"http://127.0.0.1:{http_port}", f"127.0.0.1:{grpc_port}", bus, client)


@pytest.fixture
def archive_port() -> int:
    return free_port()


@asynccontextmanager
async def archived(port: int, files: list[bytes]) -> AsyncIterator[Archive]:
    archive = Archive(files)
    add = lambda server: calls.add_ArchiveServicer_to_server(archive, server)  # noqa: E731
    async with rpc.serving("127.0.0.1", port, log=Log("archive"), grace=1, add=add):
        yield archive


def slices(count: int, *planted: bytes) -> list[bytes]:
    return [part10(ct(element(0x00080018, "UI", f"1.2.3.9.{number}".encode()), *planted)) for number in range(count)]


async def test_a_requested_series_is_released_and_finds_its_way_back(
    place: Place, archive_port: int, sample: Path
) -> None:
    files = [path.read_bytes() for path in sorted(sample.glob("*.dcm"))]
    async with archived(archive_port, files) as archive, place.running() as process:
        requested = archive.request()
        progress: asyncio.Queue[bytes] = asyncio.Queue()
        await place.bus.overhear(subjects.JOB_PROGRESSED, progress.put)
        await place.bus.say(requested, message_id=f"{requested.job_id}.1.requested")
        released = JobReleased.from_bytes(await place.heard(subjects.JOB_RELEASED, requested.job_id))
        assert released == JobReleased(
            requested.job_id, "ct-lung", "1.0.0", f"jobs/{requested.job_id}/input/manifest.json", 100, 1
        )
        manifest = json.loads((place.work / released.input).read_bytes())
        original = await place.reidentify(requested.job_id)
        assert (original.study_instance_uid, original.series_instance_uid) == (archive.study, archive.series)
        uids = {line["sop_instance_uid"] for line in manifest["instances"]}
        assert set(original.sop_instance_uids) == uids
        assert set(original.sop_instance_uids.values()) == set(archive.files)
        # A tool that wrote one slice again, whole: it comes home as that slice, with its patient.
        written = (place.work / f"jobs/{requested.job_id}/input/{manifest['instances'][0]['file']}").read_bytes()
        home = pydicom.dcmread(io.BytesIO(await place.restore(requested.job_id, written)))
        source = pydicom.dcmread(io.BytesIO(archive.files[home.SOPInstanceUID]))
        assert (home.StudyInstanceUID, home.FrameOfReferenceUID) == (archive.study, source.FrameOfReferenceUID)
        assert (home.PatientID, home.PixelData) == (source.PatientID, source.PixelData)
        assert not progress.empty()

        record = AuditRecorded.from_bytes(await place.heard(subjects.AUDIT_RECORDED, requested.job_id))
        assert (record.action, record.outcome, record.instances) == ("deidentify", "success", 100)

        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), _SECONDS) == 0

    # Nothing that identifies is in the work store, the log or the spans.
    first = pydicom.dcmread(io.BytesIO(files[0]))
    secrets = [archive.study, archive.series, *archive.files, str(first.PatientID), str(first.FrameOfReferenceUID)]
    elsewhere = [place.log, (place.folder / "spans").read_text(), released.to_bytes().decode("latin-1")]
    written = [path.read_bytes().decode("latin-1") for path in place.work.rglob("*") if path.is_file()]
    names = [str(path.relative_to(place.work)) for path in place.work.rglob("*")]
    for text in (*elsewhere, *written, *names):
        assert not [secret for secret in secrets if secret in text]


async def test_the_same_request_twice_is_released_once(place: Place, archive_port: int) -> None:
    async with archived(archive_port, slices(3)) as archive, place.running():
        requested = archive.request()
        for number in range(3):
            await place.bus.say(requested, message_id=f"{requested.job_id}.{number}")
        last = archive.request()
        await place.bus.say(last)
        await place.heard(subjects.JOB_RELEASED, last.job_id)
        assert await place.count(subjects.JOB_RELEASED, requested.job_id) == 1


async def test_a_process_that_is_killed_in_the_middle_is_followed_by_one_that_ends_the_job(
    place: Place, archive_port: int
) -> None:
    place.environment["PLEXUS_ANONYMISE_ACK_WAIT_SECONDS"] = "1"
    async with archived(archive_port, slices(40)) as archive:
        requested = archive.request()
        archive.seconds = 0.1
        async with place.running() as process:
            await place.bus.say(requested)
            while not list(place.work.glob("jobs/*/input/*.dcm")):
                await asyncio.sleep(0.01)
            process.kill()
            await process.wait()
        assert not list(place.work.glob("jobs/*/input/manifest.json"))
        archive.seconds = 0.0
        async with place.running():
            await place.heard(subjects.JOB_RELEASED, requested.job_id)
            assert len(list(place.work.glob(f"jobs/{requested.job_id}/input/*.dcm"))) == 40
            assert await place.count(subjects.JOB_RELEASED, requested.job_id) == 1


async def test_an_instance_that_cannot_leave_fails_the_job_with_a_reason(place: Place, archive_port: int) -> None:
    embedded = element(0x60000102, "US", b"\x0c\0")
    async with archived(archive_port, slices(3, embedded)) as archive, place.running():
        requested = archive.request()
        await place.bus.say(requested)
        failed = JobFailed.from_bytes(await place.heard(subjects.JOB_FAILED, requested.job_id))
        assert (failed.step, failed.reason_code) == ("deidentify", "embedded-overlay")
        record = AuditRecorded.from_bytes(await place.heard(subjects.AUDIT_RECORDED, requested.job_id))
        assert (record.outcome, record.reason_code) == ("refused", "embedded-overlay")
        assert not list(place.work.rglob("manifest.json"))
    assert "1.2.3.9" not in place.log and "Doe" not in place.log


async def test_a_series_that_has_changed_fails_the_job(place: Place, archive_port: int) -> None:
    async with archived(archive_port, slices(3)) as archive, place.running():
        requested = archive.request(digest="0" * 64)
        await place.bus.say(requested)
        failed = JobFailed.from_bytes(await place.heard(subjects.JOB_FAILED, requested.job_id))
        assert failed.reason_code == "series-changed"


async def test_a_request_waits_for_an_archive_that_is_away(place: Place, archive_port: int) -> None:
    archive = Archive(slices(3))
    async with place.running():
        requested = archive.request()
        await place.bus.say(requested)
        while "message.not_handled" not in place.log:
            await asyncio.sleep(0.05)
        async with archived(archive_port, slices(3)):
            await place.heard(subjects.JOB_RELEASED, requested.job_id)


async def test_an_unknown_job_has_no_way_back(place: Place) -> None:
    async with place.running():
        with pytest.raises(PermanentFault) as refused:
            try:
                await place.reidentify("job-that-never-was")
            except Exception as error:
                raise rpc.fault_of(error) from None  # type: ignore[arg-type]
        assert refused.value.code == "no-such-release"


async def test_an_open_key_file_stops_the_start_with_a_reason(place: Place) -> None:
    Path(place.environment["PLEXUS_ANONYMISE_KEY_FILE"]).chmod(0o644)
    async with place.running() as process:
        assert await asyncio.wait_for(process.wait(), _SECONDS) == 1
    assert "chmod 600" in place.log
