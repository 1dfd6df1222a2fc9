"""Ingest as a whole, on a real PostgreSQL and a real NATS: what goes in at both edges, and what is there afterwards."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import asyncpg
import grpc.aio
import httpx
import nats
import pytest
from nats.js.api import ConsumerConfig, DeliverPolicy

from services.chassis import database
from services.chassis.health import Health
from services.chassis.http import create_app
from services.chassis.log import Log
from services.chassis.principal import Principal
from services.chassis.service import Frame
from services.contracts import calls, subjects
from services.contracts.events import AuditRecorded, SeriesSettled
from services.dicom import multipart, uids
from services.dicom.part10 import data_set_start, file_header, parse_instance
from services.ingest.adapters.deliveries import PostgresDeliveries
from services.ingest.adapters.ledger import PostgresLedger
from services.ingest.bootstrap import build
from services.ingest.model import Offer
from services.ingest.settings import Settings
from services.launcher.settings import free_port
from services.store.file_objects import FileObjects
from services.store.index import bytes_alone
from services.store.model import Entry, series_digest
from services.store.reader import IndexReader
from tests.unit.ingest.made import made

_SETTLE_SECONDS = 0.4


@dataclass(frozen=True)
class Ingest:
    """A running ingest, and the doors to it and behind it."""

    http: httpx.AsyncClient
    grpc: calls.IngestStub
    pool: asyncpg.Pool
    reader: IndexReader
    objects: FileObjects
    heard: Heard

    async def send(self, *files: bytes, path: str = "/dicom-web/studies", **headers: str) -> httpx.Response:
        """STOW-RS of these files in one request."""
        body, content_type = packed(files)
        return await self.http.post(path, content=body, headers={"Content-Type": content_type, **headers})

    async def count(self, table: str) -> int:
        """Rows of a table of the index."""
        return int(await self.pool.fetchval(f"SELECT count(*) FROM index.{table}"))

    def files(self) -> list[Path]:
        """Every file of the object store."""
        root = self.objects.path("0" * 64).parent.parent
        return [path for path in root.rglob("*") if path.is_file()] if root.exists() else []


class Heard:
    """What was said on the bus since the test began."""

    def __init__(self, subscription: nats.js.JetStreamContext.PushSubscription) -> None:
        self._subscription = subscription
        self.traces: list[str] = []

    async def next(self, seconds: float = 20) -> bytes:
        """The next message; waits for it."""
        message = await self._subscription.next_msg(seconds)
        self.traces.append((message.headers or {}).get("traceparent", ""))
        return bytes(message.data)

    async def silence(self, seconds: float) -> None:
        """Nothing comes for so long."""
        with pytest.raises((nats.errors.TimeoutError, TimeoutError)):
            await self._subscription.next_msg(seconds)


def packed(files: Iterable[bytes]) -> tuple[bytes, str]:
    boundary = multipart.new_boundary()
    parts = [multipart.part_head(boundary, "application/dicom") + file + multipart.PART_TAIL for file in files]
    return b"".join(parts) + multipart.closing(boundary), multipart.related("application/dicom", boundary)


@asynccontextmanager
async def running(settings: Settings, nats_url: str) -> AsyncIterator[Ingest]:
    """Ingest in this process, as its bootstrap builds it."""
    stopping, health, log = asyncio.Event(), Health(), Log("ingest")
    async with AsyncExitStack() as parts:
        client = await nats.connect(nats_url)
        parts.push_async_callback(client.close)
        runtime = await build(settings, Frame("ingest", parts, health, log, stopping))
        heard = await client.jetstream().subscribe(
            subjects.SERIES_SETTLED, config=ConsumerConfig(deliver_policy=DeliverPolicy.NEW)
        )
        app = create_app("ingest", health=health, log=log, routers=runtime.routers, status_of=runtime.status_of)
        channel = await parts.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{settings.grpc_port}"))
        pool = await parts.enter_async_context(
            database.connected(settings.database_url.get_secret_value(), schema="index", size=4, health=health)
        )
        background = [asyncio.create_task(work(stopping)) for work in runtime.background]
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://ingest.test") as http:
            root = Path(settings.objects_url.removeprefix("file://"))
            yield Ingest(http, calls.IngestStub(channel), pool, IndexReader(pool), FileObjects(root), Heard(heard))
        stopping.set()
        await asyncio.gather(*background)


@pytest.fixture
def settings(database_url: str, nats_url: str, tmp_path: Path) -> Settings:
    return Settings(
        database_url=database_url,
        nats_url=nats_url,
        objects_url=f"file://{tmp_path}/objects",
        grpc_port=free_port(),
        settle_seconds=_SETTLE_SECONDS,
        delivery_lost_seconds=2,
        max_instance_bytes=16 * 1024**2,
    )


@pytest.fixture
async def ingest(settings: Settings, nats_url: str) -> AsyncIterator[Ingest]:
    async with running(settings, nats_url) as started:
        yield started


async def outgoing(pool: asyncpg.Pool, subject: str) -> int:
    return int(await pool.fetchval("SELECT count(*) FROM index.outbox WHERE subject = $1", subject))


def requests(file: bytes, sequence: str = "1", **announced: str) -> list[calls.StoreRequest]:
    chunks = [file[at : at + 1000] for at in range(0, len(file), 1000)]
    return [
        calls.StoreRequest(begin=calls.Begin(sequence=sequence, **announced)),
        *(calls.StoreRequest(chunk=chunk) for chunk in chunks),
        calls.StoreRequest(end=calls.End()),
    ]


async def test_a_stored_instance_is_an_object_rows_and_a_response_with_its_address(ingest: Ingest) -> None:
    file = made(PatientName="Muster^Maria")
    parsed = parse_instance(file)

    response = await ingest.send(file, **{"X-Forwarded-Host": "pacs.example:8443", "X-Forwarded-Proto": "https"})

    assert response.status_code == 200
    assert response.headers["content-type"] == "application/dicom+json"
    url = (
        f"https://pacs.example:8443/dicom-web/studies/{parsed.study_instance_uid}"
        f"/series/{parsed.series_instance_uid}/instances/{parsed.sop_instance_uid}"
    )
    (referenced,) = response.json()["00081199"]["Value"]
    assert referenced["00081190"]["Value"] == [url]
    row = await ingest.reader.instance(parsed.study_instance_uid, parsed.series_instance_uid, parsed.sop_instance_uid)
    assert row is not None
    assert await ingest.objects.read(row.digest) == file
    assert row.metadata == parsed.metadata
    assert row.layout == parsed.layout.encode()
    assert row.size == len(file)


async def test_the_sample_comes_in_whole_and_settles_once_with_the_digest_of_its_set(
    ingest: Ingest, sample: Path
) -> None:
    files = [path.read_bytes() for path in sorted(sample.glob("*.dcm"))[:12]]
    parsed = [parse_instance(file) for file in files]

    assert (await ingest.send(*files)).status_code == 200

    settled = SeriesSettled.from_bytes(await ingest.heard.next())
    series = await ingest.reader.series_instances(settled.study_instance_uid, settled.series_instance_uid)
    assert {row.sop_instance_uid for row in series} == {each.sop_instance_uid for each in parsed}
    assert (settled.revision, settled.instances) == (1, 12)
    assert settled.digest == series_digest((row.sop_instance_uid, row.digest) for row in series)
    await ingest.heard.silence(3 * _SETTLE_SECONDS)


async def test_a_late_instance_makes_a_new_revision(ingest: Ingest) -> None:
    study, series = uids.new_uid(), uids.new_uid()
    await ingest.send(made(StudyInstanceUID=study, SeriesInstanceUID=series))
    first = SeriesSettled.from_bytes(await ingest.heard.next())

    await ingest.send(made(StudyInstanceUID=study, SeriesInstanceUID=series))
    second = SeriesSettled.from_bytes(await ingest.heard.next())

    assert (first.revision, first.instances) == (1, 1)
    assert (second.revision, second.instances) == (2, 2)
    assert first.digest != second.digest


async def test_the_same_bytes_again_change_nothing(ingest: Ingest) -> None:
    file = made()
    await ingest.send(file)
    await ingest.heard.next()
    before = await ingest.pool.fetch("SELECT * FROM index.series")

    response = await ingest.send(file)

    assert response.status_code == 200
    assert "00081199" in response.json()
    assert await ingest.pool.fetch("SELECT * FROM index.series") == before
    assert await ingest.count("instance") == 1
    await ingest.heard.silence(3 * _SETTLE_SECONDS)


async def test_other_bytes_under_the_same_uid_keep_the_first_and_are_evidence(ingest: Ingest) -> None:
    uid = uids.new_uid()
    first, second = made(SOPInstanceUID=uid), made(SOPInstanceUID=uid)
    await ingest.send(first)

    response = await ingest.send(second)
    again = await ingest.send(second)

    assert response.status_code == again.status_code == 202
    (referenced,) = response.json()["00081199"]["Value"]
    assert referenced["00081196"]["Value"] == [0xB000]
    (evidence,) = await ingest.pool.fetch("SELECT encode(digest, 'hex') AS digest, times FROM index.conflict")
    assert evidence["times"] == 2
    assert await ingest.objects.read(evidence["digest"]) == second
    parsed = parse_instance(first)
    row = await ingest.reader.instance(parsed.study_instance_uid, parsed.series_instance_uid, uid)
    assert row is not None
    assert await ingest.objects.read(row.digest) == first
    # The study that the second one names has nothing to show: it is not there.
    assert await ingest.count("study") == await ingest.count("series") == 1


async def test_twenty_stores_of_one_instance_at_once_make_one_row(ingest: Ingest) -> None:
    file = made()

    responses = await asyncio.gather(*(ingest.send(file) for _ in range(20)))

    assert {response.status_code for response in responses} == {200}
    assert await ingest.count("instance") == await ingest.count("series") == await ingest.count("study") == 1
    assert await ingest.pool.fetchval("SELECT instance_count FROM index.study") == 1


async def test_two_processes_that_store_into_one_series_count_right(
    ingest: Ingest, settings: Settings, nats_url: str
) -> None:
    study, series = uids.new_uid(), uids.new_uid()
    files = [made(StudyInstanceUID=study, SeriesInstanceUID=series, InstanceNumber=n) for n in range(30)]
    other = settings.model_copy(update={"grpc_port": free_port()})
    async with running(other, nats_url) as second:
        sent = [door.send(file) for file in files for door in (ingest, second)]
        responses = await asyncio.gather(*sent)

    assert {response.status_code for response in responses} == {200}
    row = await ingest.reader.series(study, series)
    assert row is not None
    assert row.instances == 30
    assert await ingest.count("instance") == 30


async def test_a_grpc_delivery_gets_its_replies_in_order_each_with_its_own_mark(ingest: Ingest) -> None:
    study, series = uids.new_uid(), uids.new_uid()
    good = [made(StudyInstanceUID=study, SeriesInstanceUID=series) for _ in range(3)]
    await ingest.send(good[2])
    stream = [
        *requests(good[0], "a"),
        *requests(b"nonsense", "b"),
        *requests(good[1], "c"),
        *requests(good[2], "d"),
        *requests(good[0], "e", sop_class_uid="1.2.840.10008.5.1.4.1.1.4"),
    ]

    replies = [reply async for reply in ingest.grpc.Store(iter(stream))]

    assert [reply.sequence for reply in replies] == ["a", "b", "c", "d", "e"]
    assert [(reply.outcome, reply.failure_reason, reply.reason_code) for reply in replies] == [
        (calls.StoreReply.OUTCOME_STORED, 0, ""),
        (calls.StoreReply.OUTCOME_REFUSED, 0xC000, "not-dicom"),
        (calls.StoreReply.OUTCOME_STORED, 0, ""),
        (calls.StoreReply.OUTCOME_UNCHANGED, 0, ""),
        (calls.StoreReply.OUTCOME_REFUSED, 0xA900, "sop-class-mismatch"),
    ]
    settled = SeriesSettled.from_bytes(await ingest.heard.next())
    assert settled.instances == 3


async def test_an_open_delivery_keeps_its_series_from_settling(ingest: Ingest) -> None:
    study, series = uids.new_uid(), uids.new_uid()
    call = ingest.grpc.Store()
    for n, file in enumerate([made(StudyInstanceUID=study, SeriesInstanceUID=series) for _ in range(2)]):
        for request in requests(file, str(n)):
            await call.write(request)
        assert (await call.read()).outcome == calls.StoreReply.OUTCOME_STORED
        await ingest.heard.silence(3 * _SETTLE_SECONDS)
    await call.done_writing()

    settled = SeriesSettled.from_bytes(await ingest.heard.next())

    assert (settled.revision, settled.instances) == (1, 2)


async def test_a_delivery_that_breaks_off_leaves_what_was_stored_and_settles_it(ingest: Ingest) -> None:
    call = ingest.grpc.Store()
    for request in requests(made()):
        await call.write(request)
    await call.read()
    for request in requests(made())[:-1]:
        await call.write(request)
    call.cancel()

    assert SeriesSettled.from_bytes(await ingest.heard.next()).instances == 1
    assert await ingest.count("instance") == 1


async def test_a_killed_process_leaves_no_series_unsettled(ingest: Ingest, settings: Settings) -> None:
    # What a process leaves that was killed in the middle of a delivery: it is open, and nobody speaks for it.
    file = made()
    parsed = parse_instance(file)
    lost = PostgresDeliveries(ingest.pool, lost_seconds=settings.delivery_lost_seconds, log=Log("lost"))
    delivery = await lost.opened().__aenter__()
    objects = ingest.objects
    async with objects.draft() as draft:
        await draft.write(file)
        draft.seal()
        entry = Entry.of(parsed, digest=await objects.keep(draft), size=len(file))

    class _Outbox:
        def wake(self) -> None: ...

    await PostgresLedger(ingest.pool, _Outbox(), bytes_alone).record(Offer(entry, delivery, Principal.local()))

    await ingest.heard.silence(3 * _SETTLE_SECONDS)
    assert SeriesSettled.from_bytes(await ingest.heard.next()).series_instance_uid == parsed.series_instance_uid


async def test_what_was_kept_but_not_written_down_is_not_visible_and_may_come_again(ingest: Ingest) -> None:
    file = made()
    async with ingest.objects.draft() as draft:  # then the process is killed
        await draft.write(file)
        draft.seal()
        await ingest.objects.keep(draft)

    assert await ingest.count("instance") == await ingest.count("study") == 0
    assert await outgoing(ingest.pool, subjects.INSTANCE_STORED) == 0

    assert (await ingest.send(file)).status_code == 200
    assert await ingest.count("instance") == 1


async def test_every_attempt_is_in_the_audit_trail(ingest: Ingest, nats_url: str) -> None:
    client = await nats.connect(nats_url)
    audit = await client.jetstream().subscribe(
        subjects.AUDIT_RECORDED, config=ConsumerConfig(deliver_policy=DeliverPolicy.NEW)
    )
    file = made()
    principal = Principal(subject="CT1", proved_by="ae-title", source="10.0.0.7")
    stream = [*requests(file), *requests(file), *requests(b"nonsense")]
    async for _ in ingest.grpc.Store(iter(stream), metadata=principal.to_metadata()):
        pass

    records = [AuditRecorded.from_bytes((await audit.next_msg(20)).data) for _ in range(3)]
    await client.close()

    by_detail = {record.detail + record.reason_code: record for record in records}
    assert set(by_detail) == {"instance", "unchanged", "instancenot-dicom"}
    assert {record.outcome for record in records} == {"success", "refused"}
    assert {(record.caller, record.proved_by, record.source) for record in records} == {("CT1", "ae-title", "10.0.0.7")}
    assert by_detail["instance"].sop_instance_uid == parse_instance(file).sop_instance_uid
    assert SeriesSettled.from_bytes(await ingest.heard.next()).sender == "CT1"


@pytest.mark.parametrize(
    ("file", "code", "reason", "named"),
    [
        (b"", 0xC000, "not-dicom", False),
        (b"nonsense" * 100, 0xC000, "not-dicom", False),
        (made()[:-10], 0xC000, "truncated", True),
        (made()[:200], 0xC000, "truncated", False),
        (made(SeriesInstanceUID=None), 0xA900, "missing-uid", True),
        (made(StudyInstanceUID="1.2.3a"), 0xA900, "illegal-uid", True),
        (made(side=3000), 0xA700, "too-large", False),
    ],
)
async def test_a_bad_instance_is_refused_with_its_reason_and_the_others_are_stored(
    ingest: Ingest, file: bytes, code: int, reason: str, named: bool
) -> None:
    alone = await ingest.send(file)
    # What its file meta information names is in the Failed SOP Sequence, the rest in the Other Failures Sequence.
    (failed,) = alone.json()["00081198" if named else "0008119A"]["Value"]
    assert alone.status_code == 409
    assert failed["00081197"]["Value"] == [code]
    assert await ingest.count("instance") == await ingest.count("study") == 0
    assert ingest.files() == []

    together = await ingest.send(file, made())

    assert together.status_code == 202
    assert await ingest.count("instance") == 1
    replies = [reply async for reply in ingest.grpc.Store(iter(requests(file)))]
    assert [(reply.failure_reason, reply.reason_code) for reply in replies] == [(code, reason)]


async def test_a_request_to_a_study_refuses_instances_of_another_one_alone(ingest: Ingest) -> None:
    study = uids.new_uid()
    right, wrong = made(StudyInstanceUID=study), made()

    response = await ingest.send(right, wrong, path=f"/dicom-web/studies/{study}")

    assert response.status_code == 202
    (failed,) = response.json()["00081198"]["Value"]
    assert failed["00081197"]["Value"] == [0xA900]
    assert failed["00081155"]["Value"] == [parse_instance(wrong).sop_instance_uid]
    assert await ingest.count("instance") == 1


@pytest.mark.parametrize(
    ("content_type", "body", "status", "code"),
    [
        ("application/dicom", b"", 400, "empty-request"),
        ("multipart/form-data; boundary=b", b"x", 415, "unsupported-media-type"),
        ('multipart/related; type="image/jpeg"; boundary=b', b"x", 415, "unsupported-media-type"),
        ('multipart/related; type="application/dicom"', b"x", 400, "not-multipart"),
        ('multipart/related; type="application/dicom"; boundary=b', b"x", 400, "not-multipart"),
        ('multipart/related; type="application/dicom"; boundary=b', b"", 400, "empty-request"),
        ('multipart/related; type="application/dicom"; boundary=b', b"--b--", 400, "empty-request"),
        ('multipart/related; type="application/dicom"; boundary=b', b"--b\r\n\r\nDICM", 400, "not-multipart"),
        ("", b"x", 415, "unsupported-media-type"),
    ],
)
async def test_a_body_that_cannot_be_taken_apart_is_a_clear_error(
    ingest: Ingest, content_type: str, body: bytes, status: int, code: str
) -> None:
    response = await ingest.http.post("/dicom-web/studies", content=body, headers={"Content-Type": content_type})

    assert (response.status_code, response.json()["code"]) == (status, code)
    assert await ingest.count("instance") == 0


async def test_a_body_that_breaks_off_keeps_the_instances_that_came_in_whole(ingest: Ingest) -> None:
    body, content_type = packed([made(), made()])

    response = await ingest.http.post("/dicom-web/studies", content=body[:-200], headers={"Content-Type": content_type})

    assert response.status_code == 202
    assert len(response.json()["00081199"]["Value"]) == 1
    assert await ingest.count("instance") == 1


async def test_an_illegal_study_in_the_path_is_a_clear_error(ingest: Ingest) -> None:
    response = await ingest.send(made(), path="/dicom-web/studies/1.2.x")

    assert (response.status_code, response.json()["code"]) == (400, "illegal-study")


async def test_a_delivery_out_of_order_is_refused_as_a_whole(ingest: Ingest) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in ingest.grpc.Store(iter([calls.StoreRequest(chunk=b"x")])):
            pass

    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "delivery-out-of-order" in (caught.value.details() or "")


async def test_a_large_instance_goes_through_the_disk_and_comes_out_the_same(ingest: Ingest) -> None:
    file = made(side=1800)  # 6.5 MB: more than stays in memory
    parsed = parse_instance(file)

    assert (await ingest.send(file)).status_code == 200

    row = await ingest.reader.instance(parsed.study_instance_uid, parsed.series_instance_uid, parsed.sop_instance_uid)
    assert row is not None
    assert await ingest.objects.read(row.digest) == file
    assert [path.name for path in ingest.files()] == [row.digest]


async def test_while_the_database_is_away_nothing_is_said_to_be_stored(ingest: Ingest) -> None:
    file = made()
    await ingest.pool.execute("ALTER TABLE index.instance RENAME TO elsewhere")  # then any write fails
    broken = await ingest.send(file)
    await ingest.pool.execute("ALTER TABLE index.elsewhere RENAME TO instance")

    assert broken.status_code == 409
    assert broken.json()["0008119A"]["Value"][0]["00081197"]["Value"] == [0x0110]
    assert (await ingest.send(file)).status_code == 200


def with_other_meta(file: bytes) -> bytes:
    """The same data set behind file meta information that somebody else wrote."""
    start = data_set_start(file)
    parsed = parse_instance(file)
    header = file_header(
        transfer_syntax_uid=parsed.transfer_syntax_uid,
        sop_class_uid=parsed.sop_class_uid,
        sop_instance_uid=parsed.sop_instance_uid,
        source_ae_title="SOMEWHERE",
    )
    return header + file[start:]


async def test_the_same_data_set_behind_another_header_is_the_same_instance(ingest: Ingest) -> None:
    file = made(side=900)  # more than one piece to compare
    assert (await ingest.send(file)).status_code == 200

    again = await ingest.send(with_other_meta(file))
    other = await ingest.send(with_other_meta(file[:-2] + b"!!"))

    assert again.status_code == 200
    assert "00081196" not in again.text
    assert other.json()["00081199"]["Value"][0]["00081196"]["Value"] == [0xB000]
    assert await ingest.count("conflict") == 1


async def test_a_full_disk_is_503_and_out_of_resources(ingest: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    file = made()
    monkeypatch.setattr("services.store.disk.os.fsync", full)
    response = await ingest.send(file)
    (reply,) = [reply async for reply in ingest.grpc.Store(iter(requests(file)))]
    monkeypatch.undo()

    assert response.status_code == 503
    assert response.json()["0008119A"]["Value"][0]["00081197"]["Value"] == [0xA700]
    assert reply.outcome == calls.StoreReply.OUTCOME_UNAVAILABLE
    assert reply.failure_reason == 0xA700
    assert await ingest.count("instance") == 0
    assert ingest.files() == []


async def test_the_settled_event_continues_the_trace_of_the_last_store(ingest: Ingest) -> None:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

    trace.set_tracer_provider(TracerProvider())
    trace_id = uuid4().hex

    await ingest.send(made(), traceparent=f"00-{trace_id}-00f067aa0ba902b7-01")
    await ingest.heard.next()

    assert ingest.heard.traces[-1].split("-")[1] == trace_id


async def test_nothing_in_a_response_or_an_object_name_tells_whose_it_is(ingest: Ingest) -> None:
    file = made(PatientName="Geheim^Name", PatientID="GEHEIM-7")

    response = await ingest.send(file, file[:-4], path=f"/dicom-web/studies/{uids.new_uid()}")

    assert "eheim" not in json.dumps(response.json())
    assert not any("eheim" in str(path) for path in ingest.files())


async def test_two_settlers_at_once_settle_a_series_once(ingest: Ingest, settings: Settings, nats_url: str) -> None:
    other = settings.model_copy(update={"grpc_port": free_port()})
    async with running(other, nats_url):
        for _ in range(5):
            await ingest.send(made())
        heard = [SeriesSettled.from_bytes(await ingest.heard.next()) for _ in range(5)]
        await ingest.heard.silence(3 * _SETTLE_SECONDS)

    assert {event.revision for event in heard} == {1}
    assert len({event.series_instance_uid for event in heard}) == 5


async def test_every_whole_file_of_the_wider_data_set_goes_in_and_lies_there_byte_by_byte(
    ingest: Ingest, shared_data: Path
) -> None:
    files = {}
    for path in sorted(shared_data.rglob("*")):
        if path.is_file() and "malformed" not in path.parts and path.stat().st_size < 8 * 1024**2:
            data = path.read_bytes()
            if data[128:132] == b"DICM":
                files[data] = path

    async def stream() -> AsyncIterator[calls.StoreRequest]:
        for number, data in enumerate(files):
            yield calls.StoreRequest(begin=calls.Begin(sequence=str(number)))
            for at in range(0, len(data), calls.CHUNK_BYTES):
                yield calls.StoreRequest(chunk=data[at : at + calls.CHUNK_BYTES])
            yield calls.StoreRequest(end=calls.End())

    contents = list(files)
    kept, refused = 0, Counter[str]()
    async for reply in ingest.grpc.Store(stream()):
        data = contents[int(reply.sequence)]
        assert reply.reason_code != "internal", files[data]
        if reply.outcome == calls.StoreReply.OUTCOME_REFUSED:
            refused[reply.reason_code] += 1
            continue
        kept += 1
        assert await ingest.objects.read(hashlib.sha256(data).hexdigest()) == data

    assert kept > 300
    # Directories; what has no place in a study, for want of a UID; and one whose last fragment is cut short.
    assert refused == {"sop-class-unsupported": 8, "missing-uid": 6, "truncated": 1}
