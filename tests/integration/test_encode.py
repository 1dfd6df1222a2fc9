"""`encode` as a process, on a real NATS server, with gRPC servers of the test as its neighbours."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import httpx
import nats
import pytest_asyncio
from nats.aio.client import Client
from pydicom import dcmread

from services.chassis import rpc
from services.chassis.faults import PassingFault, PermanentFault
from services.chassis.hearing import MESSAGE_ID
from services.chassis.log import Log
from services.contracts import calls, subjects
from services.contracts.events import AuditRecorded, Event, JobCompleted, JobFailed, JobInferred, JobProgressed
from services.launcher.settings import free_port
from tests.unit.encode.kinds import ct
from tests.unit.encode.made import PLANES, SERIES, STUDY, card, header, inferred, packed, pseudonym, sop

EventT = TypeVar("EventT", bound=Event)

ROOT = Path(__file__).resolve().parents[2]
PHI = ("Müller", "Jürgen", "P-4711", "A-77", "Roe", "Thorax", STUDY, SERIES, sop(0), sop(3))
HEADERS = {sop(plane): header(plane) for plane in range(PLANES)}


class Anonymise(calls.AnonymiseServicer):
    """Knows every job."""

    async def Reidentify(self, request: Any, context: Any) -> Any:
        return calls.Original(
            study_instance_uid=STUDY,
            series_instance_uid=SERIES,
            revision=1,
            sop_instance_uids={pseudonym(plane): sop(plane) for plane in range(PLANES)},
        )


@dataclass
class Archive(calls.ArchiveServicer):
    """Has headers, and may be away for some calls."""

    instances: dict[str, bytes] = field(default_factory=lambda: dict(HEADERS))
    whole: dict[str, bytes] = field(default_factory=dict)
    away_for: int = 0
    callers: set[str] = field(default_factory=set)

    async def ReadInstance(self, request: Any, context: Any) -> AsyncIterator[Any]:
        self.callers.add(rpc.caller().subject)
        if self.away_for:
            self.away_for -= 1
            raise PassingFault("database-unavailable", "the database does not answer")
        found = self.instances.get(request.sop_instance_uid)
        if not request.header_only:
            assert request.transfer_syntax_uid == "1.2.840.10008.1.2.1"
            found = self.whole.get(request.sop_instance_uid)
        if found is None:
            raise PermanentFault("no-such-instance", "there is no such instance")
        for start in range(0, len(found), 100):
            yield calls.Chunk(data=found[start : start + 100])


@dataclass
class Ingest(calls.IngestServicer):
    """Keeps the first of a name. `hold` stops it after so many instances, until it is killed with its caller."""

    kept: dict[str, bytes] = field(default_factory=dict)
    deliveries: int = 0
    outcome: int | None = None
    hold_after: int | None = None
    held: asyncio.Event = field(default_factory=asyncio.Event)

    async def Store(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        self.deliveries += 1
        begin, data = None, b""
        async for request in requests:
            match request.WhichOneof("part"):
                case "begin":
                    begin, data = request.begin, b""
                case "chunk":
                    data += request.chunk
                case "end":
                    assert begin is not None
                    yield self._keep(begin, data)
                    if self.hold_after is not None and len(self.kept) >= self.hold_after:
                        self.held.set()
                        await asyncio.Event().wait()

    def _keep(self, begin: Any, data: bytes) -> Any:
        told = {"sequence": begin.sequence, "sop_instance_uid": begin.sop_instance_uid}
        if self.outcome is not None:
            return calls.StoreReply(outcome=self.outcome, reason_code="not-a-data-set", **told)
        outcome = calls.StoreReply.OUTCOME_STORED
        if (there := self.kept.get(begin.sop_instance_uid)) is not None:
            same = there == data
            outcome = calls.StoreReply.OUTCOME_UNCHANGED if same else calls.StoreReply.OUTCOME_KEPT_FIRST
        self.kept.setdefault(begin.sop_instance_uid, data)
        return calls.StoreReply(outcome=outcome, **told)

    def modalities(self) -> list[str]:
        return [dcmread(BytesIO(data), stop_before_pixels=True).Modality for data in self.kept.values()]


@dataclass
class World:
    """The neighbours, the bus, and the process."""

    folder: Path
    nats_url: str
    client: Client
    archive: Archive
    ingest: Ingest
    environment: dict[str, str]
    said: list[tuple[str, Event]] = field(default_factory=list)
    job_id: str = field(default_factory=lambda: uuid4().hex)
    process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "services.encode"], cwd=ROOT, env=self.environment, stdout=log, stderr=log
            )
        port = self.environment["PLEXUS_ENCODE_HTTP_PORT"]
        await self.until(lambda: _answers(f"http://127.0.0.1:{port}/readyz"))

    async def stop(self, number: int) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        # In a thread: what it may still ask the neighbours, this loop has to answer.
        return await asyncio.to_thread(self.process.wait, 60)

    async def infer(self, results: dict[str, Any] | None = None, **changed: Any) -> JobInferred:
        """Put a result into the work store and say so, as inference does."""
        data = packed(job_id=self.job_id, **({} if results is None else {"card": card(results=results)}))
        path = self.folder / "work" / "jobs" / self.job_id / "result.npz"
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
        event = inferred(data, job_id=self.job_id, result=f"jobs/{self.job_id}/result.npz", **changed)
        await self.client.jetstream().publish(
            event.subject, event.to_bytes(), headers={MESSAGE_ID: f"{self.job_id}.1.inferred"}
        )
        return event

    def of(self, kind: type[EventT]) -> list[EventT]:
        return [event for _, event in self.said if isinstance(event, kind)]

    async def until(self, done: Callable[[], Any]) -> None:
        async with asyncio.timeout(120):
            while not done():
                assert self.process is not None
                assert self.process.poll() is None, (self.folder / "log").read_text()
                await asyncio.sleep(0.05)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


@asynccontextmanager
async def _neighbours(log: Log) -> AsyncIterator[tuple[Archive, Ingest, dict[str, str]]]:
    archive, ingest = Archive(), Ingest()
    addresses = {}
    async with AsyncExitStack() as parts:
        for name, servicer, add in (
            ("ANONYMISE", Anonymise(), calls.add_AnonymiseServicer_to_server),
            ("ARCHIVE", archive, calls.add_ArchiveServicer_to_server),
            ("INGEST", ingest, calls.add_IngestServicer_to_server),
        ):
            port = free_port()
            await parts.enter_async_context(
                rpc.serving("127.0.0.1", port, log=log, grace=0.1, add=_adder(add, servicer))
            )
            addresses[f"PLEXUS_ENCODE_{name}_ADDRESS"] = f"127.0.0.1:{port}"
        yield archive, ingest, addresses


def _adder(add: Callable[[Any, Any], None], servicer: Any) -> Callable[[Any], None]:
    return lambda server: add(servicer, server)


@pytest_asyncio.fixture
async def world(nats_url: str, tmp_path: Path) -> AsyncIterator[World]:
    key = tmp_path / "encode.key"
    key.write_bytes(os.urandom(32))
    key.chmod(0o600)
    async with _neighbours(Log("test")) as (archive, ingest, addresses):
        client = await nats.connect(nats_url)
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PLEXUS_")},
            **addresses,
            "PLEXUS_ENCODE_HTTP_PORT": str(free_port()),
            "PLEXUS_ENCODE_NATS_URL": nats_url,
            "PLEXUS_ENCODE_ACK_WAIT_SECONDS": "1",
            "PLEXUS_ENCODE_WORK_URL": f"file://{tmp_path}/work",
            "PLEXUS_ENCODE_KEY_FILE": str(key),
            "PLEXUS_ENCODE_SPANS_FILE": str(tmp_path / "spans.jsonl"),
        }
        made = World(tmp_path, nats_url, client, archive, ingest, environment)
        kinds = {kind.subject: kind for kind in (JobCompleted, JobFailed, JobProgressed, AuditRecorded)}

        async def hear(message: Any) -> None:
            kind = kinds.get(message.subject)
            if kind is not None:
                event = kind.from_bytes(message.data)
                if event.job_id == made.job_id:
                    made.said.append(((message.headers or {}).get(MESSAGE_ID, ""), event))

        await client.subscribe("plexus.>", cb=hear)
        await made.start()
        yield made
        if made.process is not None and made.process.poll() is None:
            await made.stop(signal.SIGTERM)
        await client.close()
        await asyncio.sleep(0.05)  # its transport closes in a later turn of the loop, which ends with the session


async def test_a_result_crosses_back_and_the_process_stops_in_order(world: World) -> None:
    await world.infer()
    await world.until(lambda: world.of(JobCompleted))
    (completed,) = world.of(JobCompleted)
    assert [result.kind for result in completed.results] == ["SEG", "SR"]
    assert [result.sop_instance_uid for result in completed.results] == list(world.ingest.kept)
    assert world.ingest.modalities() == ["SEG", "SR"]
    assert world.archive.callers == {"service:encode"}
    assert {event.step for event in world.of(JobProgressed)} == {"encode", "store"}
    assert [event.outcome for event in world.of(AuditRecorded)] == ["success"]
    assert await world.stop(signal.SIGTERM) == 0
    spans = (world.folder / "spans.jsonl").read_text()
    for name in ("encode SEG", "encode SR", "Anonymise/Reidentify", "Archive/ReadInstance", "Ingest/Store"):
        assert f'"{name}"' in spans


async def test_the_card_says_what_is_made_and_pictures_come_from_the_archive(world: World) -> None:
    world.archive.whole = {sop(1): ct().files[1]}
    wanted = {"SEG": {}, "SC": {}, "PDF": {}, "KO": {}, "SR": {}, "BLEND": {"palette": "of an older version"}}
    await world.infer(results=wanted)
    await world.until(lambda: world.of(JobCompleted))
    (completed,) = world.of(JobCompleted)
    assert [result.kind for result in completed.results] == ["SEG", "SC", "KO", "PDF", "SR"]
    assert world.ingest.modalities() == ["SEG", "OT", "KO", "DOC", "SR"]
    assert [(one.kind, one.reason_code) for one in completed.left_out] == [("BLEND", "options-unusable")]
    await world.until(lambda: '"job.completed"' in (world.folder / "log").read_text())
    assert '"result.left-out"' in (world.folder / "log").read_text()
    async with httpx.AsyncClient() as client:
        told = (await client.get(f"http://127.0.0.1:{world.environment['PLEXUS_ENCODE_HTTP_PORT']}/metrics")).text
    assert re.search(r'plexus_encode_left_out_total\{code="options-unusable",kind="BLEND".*\} 1\.0', told)


async def test_no_phi_gets_into_logs_and_spans(world: World) -> None:
    del world.archive.instances[sop(3)]  # so that an error is logged, too
    await world.infer()
    await world.until(lambda: world.of(JobFailed))
    await world.stop(signal.SIGTERM)
    told = (world.folder / "log").read_text() + (world.folder / "spans.jsonl").read_text()
    assert "source-gone" in told
    assert [secret for secret in PHI if secret in told] == []


async def test_a_process_that_is_killed_between_two_stores_leaves_one_result(world: World) -> None:
    world.ingest.hold_after = 1
    await world.infer()
    await world.until(world.ingest.held.is_set)
    assert world.ingest.modalities() == ["SEG"]
    await world.stop(signal.SIGKILL)
    world.ingest.hold_after = None
    await world.start()
    await world.until(lambda: world.of(JobCompleted))
    assert world.ingest.modalities() == ["SEG", "SR"]
    assert world.ingest.deliveries == 2
    (completed,) = world.of(JobCompleted)
    assert [result.sop_instance_uid for result in completed.results] == list(world.ingest.kept)


async def test_the_same_fact_said_twice_completes_the_job_once(world: World) -> None:
    event = await world.infer()
    await world.until(lambda: world.of(JobCompleted))
    again = {MESSAGE_ID: f"{world.job_id}.again"}  # past the duplicate window of the stream
    await world.client.jetstream().publish(event.subject, event.to_bytes(), headers=again)
    await world.until(lambda: world.ingest.deliveries == 2)
    await world.until(lambda: len(world.of(JobProgressed)) == 8)
    await world.stop(signal.SIGTERM)  # after the drain everything is said
    assert world.ingest.modalities() == ["SEG", "SR"]
    kept = await world.client.jetstream().pull_subscribe(
        subjects.JOB_COMPLETED, stream=subjects.HOSPITAL.name, durable=f"test-{world.job_id}"
    )
    messages = [JobCompleted.from_bytes(message.data).job_id for message in await kept.fetch(1000, timeout=1)]
    assert messages.count(world.job_id) == 1


async def test_a_neighbour_that_is_away_for_a_moment_delays_the_job_and_no_more(world: World) -> None:
    world.archive.away_for = 1
    await world.infer()
    await world.until(lambda: world.of(JobCompleted))
    assert world.of(JobFailed) == []
    assert world.ingest.modalities() == ["SEG", "SR"]


async def test_a_result_that_the_front_door_refuses_fails_the_job_with_the_reason(world: World) -> None:
    world.ingest.outcome = calls.StoreReply.OUTCOME_REFUSED
    await world.infer()
    await world.until(lambda: world.of(JobFailed))
    (failed,) = world.of(JobFailed)
    assert (failed.step, failed.reason_code) == ("store", "store-refused")
    assert "not-a-data-set" in failed.reason
    assert [name for name, event in world.said if isinstance(event, JobFailed)] == [f"{world.job_id}.1.failed"]
    assert world.of(JobCompleted) == []
    dead = await world.client.jetstream().get_last_msg(
        subjects.DEAD_LETTERS.name, f"{subjects.DEAD}.encode-job-inferred"
    )
    assert JobInferred.from_bytes(dead.data or b"").job_id == world.job_id


async def test_a_result_that_is_not_there_fails_the_job(world: World) -> None:
    event = inferred(b"", job_id=world.job_id, result=f"jobs/{world.job_id}/result.npz")
    await world.client.jetstream().publish(event.subject, event.to_bytes(), headers={MESSAGE_ID: uuid4().hex})
    await world.until(lambda: world.of(JobFailed))
    assert [failed.reason_code for failed in world.of(JobFailed)] == ["result-missing"]
