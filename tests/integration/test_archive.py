"""The archive as a whole, on a real PostgreSQL and a real NATS, read by the clients that people use."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Any

import asyncpg
import grpc.aio
import httpx
import nats
import pydicom
import pytest
import pytest_asyncio
import uvicorn
from dicomweb_client.api import DICOMwebClient
from nats.js.api import ConsumerConfig, DeliverPolicy
from pydicom.encaps import generate_frames
from pydicom.uid import (
    MPEG2MPML,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from services.archive.adapters.totals import PostgresTotals
from services.archive.bootstrap import build
from services.archive.capabilities import RESOURCES
from services.archive.handlers.recording import Accesses
from services.archive.model import Resource, access, total
from services.archive.settings import Settings
from services.chassis import database
from services.chassis.bus import headers_of
from services.chassis.health import Health
from services.chassis.http import create_app
from services.chassis.log import Log
from services.chassis.principal import Principal
from services.chassis.service import Frame
from services.contracts import calls, subjects
from services.contracts.events import Action, AuditRecorded, InstancesDeleted, SeriesSettled
from services.dicom import dicom_json
from services.dicom.multipart import MultipartParser, PartBegin, PartData, multipart_boundary, parse_content_type
from services.dicom.native_xml import parse_native
from services.dicom.part10 import ParsedInstance, parse_instance
from services.launcher.settings import free_port
from services.store import changes, index
from services.store.file_objects import FileObjects, open_objects
from services.store.history import Change, ChangeKind
from services.store.model import Entry
from tests.unit.dicom.samples import file_of, minimal, shipped

OHIF_LIST = "limit=101&offset=0&fuzzymatching=false&includefield=00081030%2C00080060%2C00080090%2C00100030"
OHIF_FRAME = "multipart/related; type=application/octet-stream; transfer-syntax=*"


@dataclass(frozen=True)
class Archive:
    """A running archive, with doors to it and behind it."""

    url: str
    http: httpx.AsyncClient
    grpc: calls.ArchiveStub
    pool: asyncpg.Pool
    objects: FileObjects
    bus: nats.js.JetStreamContext
    audit: Any

    async def store(self, *files: bytes) -> list[ParsedInstance]:
        """Put files where ingest would have put them."""
        parsed = [parse_instance(data) for data in files]
        entries = []
        for data, instance in zip(files, parsed, strict=True):
            draft = self.objects.draft()
            await draft.write(data)
            draft.seal()
            entries.append(Entry.of(instance, digest=await self.objects.keep(draft), size=len(data)))
        async with self.pool.acquire() as connection, connection.transaction():
            await index.record(connection, entries)
            await changes.note(
                connection,
                [
                    Change(
                        ChangeKind.CREATE,
                        each.study_instance_uid,
                        each.series_instance_uid,
                        ((each.sop_instance_uid, each.digest),),
                    )
                    for each in entries
                ],
            )
        return parsed

    async def get(self, path: str, accept: str = "*/*", **headers: str) -> httpx.Response:
        """GET under /dicom-web."""
        return await self.http.get(f"/dicom-web{path}", headers={"Accept": accept, **headers})

    async def with_client(self, ask: Callable[[DICOMwebClient], Any]) -> Any:
        """What dicomweb-client makes of it."""
        return await asyncio.to_thread(ask, DICOMwebClient(f"{self.url}/dicom-web"))

    async def recorded(self) -> AuditRecorded:
        """The next audit record."""
        return AuditRecorded.from_bytes((await self.audit.next_msg(5)).data)


@pytest_asyncio.fixture(scope="module")
async def running(postgres_url: str, nats_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Archive]:
    server_connection = await asyncpg.connect(postgres_url)
    await server_connection.execute("CREATE DATABASE archive_test")
    await server_connection.close()
    database_url = postgres_url.rpartition("/")[0] + "/archive_test"
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = Settings(
        database_url=database_url,
        nats_url=nats_url,
        objects_url=f"file://{tmp_path_factory.mktemp('archive')}/objects",
        grpc_port=free_port(),
        public_url=url,
        max_results=200,
        recent_bytes=0,
    )
    await database.migrate(database_url, package="services.store", schema="index")
    stopping, health, log = asyncio.Event(), Health(), Log("archive")
    async with AsyncExitStack() as parts:
        runtime = await build(settings, Frame("archive", parts, health, log, stopping))
        client = await nats.connect(nats_url)
        parts.push_async_callback(client.close)
        new = ConsumerConfig(deliver_policy=DeliverPolicy.NEW)
        audit = await client.jetstream().subscribe(subjects.AUDIT_RECORDED, config=new)
        app = create_app(
            "archive",
            health=health,
            log=log,
            routers=runtime.routers,
            status_of=runtime.status_of,
            direct=runtime.direct,
        )
        server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, ws="none", lifespan="off"))
        background = [asyncio.create_task(work(stopping)) for work in runtime.background]
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        http = await parts.enter_async_context(httpx.AsyncClient(base_url=url))
        channel = await parts.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{settings.grpc_port}"))
        pool = await parts.enter_async_context(database.connected(database_url, schema="index", size=2, health=health))
        yield Archive(
            url=url,
            http=http,
            grpc=calls.ArchiveStub(channel),
            pool=pool,
            objects=open_objects(settings.objects_url),
            bus=client.jetstream(),
            audit=audit,
        )
        stopping.set()
        server.should_exit = True
        await serving
        await asyncio.gather(*background)


@pytest_asyncio.fixture
async def archive(running: Archive) -> AsyncIterator[Archive]:
    """The archive, empty, and nothing recorded yet."""
    await running.pool.execute("TRUNCATE index.study, archive.series_document CASCADE")
    with suppress(TimeoutError, nats.errors.TimeoutError):
        while True:
            await running.audit.next_msg(0.01)
    yield running


def study(number: int, **attributes: object) -> bytes:
    named = {"StudyInstanceUID": f"1.2.{number}", "SeriesInstanceUID": f"1.2.{number}.1"}
    return file_of(minimal(**named, SOPInstanceUID=f"1.2.{number}.1.1", **attributes))


def path_of(parsed: ParsedInstance) -> str:
    series = f"/studies/{parsed.study_instance_uid}/series/{parsed.series_instance_uid}"
    return f"{series}/instances/{parsed.sop_instance_uid}"


def values(found: Iterable[dict[str, Any]], keyword: str) -> list[str]:
    return [dicom_json.text(each, keyword) for each in found]


# --- QIDO-RS ---------------------------------------------------------------------------------------------------------


async def test_ohif_finds_its_study_list(archive: Archive) -> None:
    await archive.store(
        study(1, PatientName="Müller^Hans", PatientID="PH401", StudyDate="20240115", StudyDescription="CT Chest"),
        study(2, PatientName="Doe^Jane", PatientID="X2", StudyDate="20230301", Modality="MR"),
    )

    answer = await archive.get(f"/studies?{OHIF_LIST}", "application/dicom+json")

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/dicom+json"
    assert "warning" not in answer.headers
    first, second = answer.json()
    assert first["00100010"]["Value"] == [{"Alphabetic": "Müller^Hans"}]
    assert first["00081030"]["Value"] == ["CT Chest"]
    assert first["00201206"]["Value"] == [1]
    assert first["00201208"]["Value"] == [1]
    assert first["00081190"]["Value"] == [f"{archive.url}/dicom-web/studies/1.2.1"]
    assert first["00080050"] == {"vr": "SH"}
    assert second["00080061"]["Value"] == ["MR"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("PatientName=*mull*", ["1.2.1"]),
        ("00100020=*PH40*", ["1.2.1"]),
        ("StudyDescription=*chest*", ["1.2.1"]),
        ("AccessionNumber=A7", ["1.2.2"]),
        ("ModalitiesInStudy=CT%2CMR", ["1.2.1", "1.2.2"]),
        ("ModalitiesInStudy=MR", ["1.2.2"]),
        ("StudyDate=20240101-20240131", ["1.2.1"]),
        ("StudyDate=-20231231", ["1.2.2"]),
        ("StudyInstanceUID=1.2.1,1.2.2", ["1.2.1", "1.2.2"]),
        ("StudyInstanceUID=1.2.1&StudyInstanceUID=1.2.2", ["1.2.1", "1.2.2"]),
        ("PatientID=nobody", []),
        ("limit=1", ["1.2.1"]),
        ("limit=1&offset=1", ["1.2.2"]),
    ],
)
async def test_studies_are_found_by_their_keys(archive: Archive, query: str, found: list[str]) -> None:
    await archive.store(
        study(1, PatientName="Müller^Hans", PatientID="PH401", StudyDate="20240115", StudyDescription="CT Chest",
              Modality="CT"),
        study(2, PatientName="Doe^Jane", AccessionNumber="A7", StudyDate="20230301", Modality="MR"),
    )  # fmt: skip

    answer = await archive.get(f"/studies?{query}")

    assert answer.status_code == (200 if found else 204)
    assert values(answer.json() if found else [], "StudyInstanceUID") == found


async def test_a_key_that_is_not_supported_is_ignored_and_named(archive: Archive) -> None:
    await archive.store(study(1))
    answer = await archive.get("/studies?SliceThickness=0.75&NoSuchKey=secret")

    assert len(answer.json()) == 1
    warning = answer.headers["warning"]
    assert warning.startswith(f"299 {archive.url}/dicom-web ")
    assert "SliceThickness" in warning
    assert "secret" not in warning
    assert "0.75" not in warning


async def test_more_answers_than_are_given_are_announced(archive: Archive) -> None:
    await archive.store(*(study(number) for number in range(1, 4)))
    assert "additional results" in (await archive.get("/studies?limit=2")).headers["warning"]
    assert "warning" not in (await archive.get("/studies?limit=3")).headers


@pytest.mark.parametrize("query", ["StudyDate=yesterday", "limit=-1", "offset=x", "StudyInstanceUID=1.2.*"])
async def test_an_invalid_value_is_refused_and_not_repeated(archive: Archive, query: str) -> None:
    key, _, value = query.partition("=")
    answer = await archive.get(f"/studies?{query}")

    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid-query"
    assert key in answer.json()["detail"]
    assert value not in answer.text


async def test_series_and_instances_are_found_under_what_the_path_names(archive: Archive) -> None:
    await archive.store(
        file_of(minimal(SOPInstanceUID="1.2.3.1.1", SeriesNumber="2", InstanceNumber="2", SeriesDescription="Lung")),
        file_of(minimal(SOPInstanceUID="1.2.3.1.2", SeriesNumber="2", InstanceNumber="1", Modality="CT")),
        file_of(minimal(SOPInstanceUID="1.2.3.2.1", SeriesInstanceUID="1.2.3.2", SeriesNumber="1")),
    )

    series = (await archive.get("/studies/1.2.3/series?includefield=0008103E%2C00080021")).json()
    assert values(series, "SeriesInstanceUID") == ["1.2.3.2", "1.2.3.1"]
    assert series[1]["00201209"]["Value"] == [2]
    assert series[1]["0008103E"]["Value"] == ["Lung"]
    assert "00100010" not in series[0]

    instances = (await archive.get("/studies/1.2.3/series/1.2.3.1/instances")).json()
    assert values(instances, "SOPInstanceUID") == ["1.2.3.1.2", "1.2.3.1.1"]
    assert instances[0]["00083002"]["Value"] == ["1.2.840.10008.1.2.1"]

    anywhere = (await archive.get("/instances?PatientName=doe*&SOPInstanceUID=1.2.3.2.1")).json()
    assert values(anywhere, "SeriesNumber") == ["1"]
    assert values(anywhere, "PatientName") == ["Doe^Jane"]


async def test_all_attributes_of_an_instance_are_given_on_request(archive: Archive) -> None:
    await archive.store(shipped("CT_small.dcm"))
    (found,) = (await archive.get("/instances?includefield=all")).json()
    assert found["00180050"]["Value"] == [5]
    (found,) = (await archive.get("/instances?includefield=SliceThickness,00200032")).json()
    assert found["00180050"]["Value"] == [5]
    assert "00180060" not in found


async def test_answers_are_given_in_xml_a_part_each(archive: Archive) -> None:
    await archive.store(study(1, PatientName="Müller^Hans", SpecificCharacterSet="ISO_IR 192"), study(2))
    as_json = (await archive.get("/studies", "application/dicom+json")).json()
    for accept in ('multipart/related; type="application/dicom+xml"', "application/dicom+xml"):
        answer = await archive.get("/studies", accept)
        assert answer.headers["content-type"].startswith('multipart/related; type="application/dicom+xml"; boundary=')
        parts = parts_of(answer)
        assert [content_type for content_type, _ in parts] == ["application/dicom+xml"] * 2
        assert [parse_native(content) for _, content in parts] == as_json
    refused = await archive.get("/studies", "text/html")
    assert refused.status_code == 406
    assert "application/dicom+json" in refused.json()["detail"]


async def test_a_head_is_answered_like_a_get_without_its_body(archive: Archive) -> None:
    await archive.store(study(1))
    for path in ("/studies", "/series", "/studies/1.2.1/series/1.2.1.1/instances"):
        whole = await archive.get(path)
        head = await archive.http.head(f"/dicom-web{path}")
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == whole.headers["content-length"] == str(len(whole.content))


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("PatientName=Mueller&fuzzymatching=true", ["1.2.1"]),
        ("PatientName=Hans Smith&fuzzymatching=true", []),
        ("PatientName=Hans Muler&fuzzymatching=true", ["1.2.1"]),
        ("PatientName=doe^jan&fuzzymatching=true", ["1.2.2"]),
        ("PatientName=doe^jan", []),
        ('AccessionNumber=""&emptyvaluematching=true', ["1.2.1"]),
        ("Modality=MR", ["1.2.2"]),
        ("SOPInstanceUID=1.2.2.1.1", ["1.2.2"]),
        ("00080080=spital*", ["1.2.1"]),
        ("StudyDate=20240115&TimezoneOffsetFromUTC=-0500", []),
        ("StudyDate=20240114&StudyTime=1900-2000&TimezoneOffsetFromUTC=-0500", ["1.2.1"]),
    ],
)
async def test_studies_are_found_in_further_ways(archive: Archive, query: str, found: list[str]) -> None:
    await archive.store(
        study(1, PatientName="Müller^Hans", StudyDate="20240115", StudyTime="0130", TimezoneOffsetFromUTC="+0100",
              SpecificCharacterSet="ISO_IR 192", InstitutionName="Spital", Modality="CT"),
        study(2, PatientName="Doe^Jane", AccessionNumber="A7", StudyDate="20230301", Modality="MR"),
    )  # fmt: skip

    answer = await archive.get(f"/studies?{query}")

    assert answer.status_code == (200 if found else 204), answer.text
    assert values(answer.json() if found else [], "StudyInstanceUID") == found
    assert "warning" not in answer.headers


async def test_attributes_of_above_and_of_items_are_given_on_request(archive: Archive) -> None:
    item = pydicom.Dataset()
    item.CodeValue, item.CodeMeaning = "T-1", "Thorax"
    await archive.store(
        study(1, PatientName="Doe^Jane", StudyDescription="CT", SeriesDescription="Lung", ProcedureCodeSequence=[item])
    )

    (found,) = (await archive.get("/studies?includefield=00081032.00080104,PatientAge")).json()
    assert found["00081032"] == {"vr": "SQ", "Value": [{"00080104": {"vr": "LO", "Value": ["Thorax"]}}]}

    (found,) = (await archive.get("/studies/1.2.1/series?includefield=00081030,ModalitiesInStudy")).json()
    assert values([found], "StudyDescription") == ["CT"]
    assert "00080061" in found
    assert "00100010" not in found

    path = "/studies/1.2.1/series/1.2.1.1/instances"
    (found,) = (await archive.get(f"{path}?includefield=SeriesDescription,NumberOfStudyRelatedInstances")).json()
    assert values([found], "SeriesDescription") == ["Lung"]
    assert values([found], "NumberOfStudyRelatedInstances") == ["1"]
    assert list(found) == sorted(found)


async def test_what_is_remembered_of_an_answer_is_never_out_of_date(archive: Archive) -> None:
    await archive.store(study(1, PatientName="First^Name"))
    (before,) = (await archive.get("/studies")).json()
    await archive.pool.execute("TRUNCATE index.study CASCADE")
    await archive.store(study(1, PatientName="Other^Name"))
    (after,) = (await archive.get("/studies")).json()

    assert before["00100010"]["Value"] == [{"Alphabetic": "First^Name"}]
    assert after["00100010"]["Value"] == [{"Alphabetic": "Other^Name"}]


async def test_nothing_found_is_an_answer_without_content(archive: Archive) -> None:
    for path in ("/studies", "/series", "/instances", "/studies/1.2.3/series", "/studies/1.2.3/series/1.2/instances"):
        answer = await archive.get(path)
        assert (answer.status_code, answer.content) == (204, b"")
    assert await archive.with_client(lambda client: client.search_for_studies()) == []


# --- metadata --------------------------------------------------------------------------------------------------------


async def test_series_metadata_is_every_instance_as_parsed_with_bulk_data_that_resolves(archive: Archive) -> None:
    (parsed,) = await archive.store(shipped("CT_small.dcm"))
    path = f"/studies/{parsed.study_instance_uid}/series/{parsed.series_instance_uid}"

    answer = await archive.get(f"{path}/metadata", "application/dicom+json")

    (found,) = answer.json()
    uri = found["7FE00010"]["BulkDataURI"]
    absolute = parsed.metadata.replace(b'"instances/', f'"{archive.url}/dicom-web{path}/instances/'.encode())
    assert found == json.loads(absolute)
    pixels = await archive.http.get(uri, headers={"Accept": "application/octet-stream"})
    assert pixels.content == pydicom.dcmread(io.BytesIO(shipped("CT_small.dcm"))).PixelData


async def test_metadata_of_study_series_and_instance_say_the_same(archive: Archive) -> None:
    parsed = await archive.store(
        *(file_of(minimal(SOPInstanceUID=f"1.2.3.1.{number}", InstanceNumber=str(number))) for number in (2, 1, 3)),
        file_of(minimal(SOPInstanceUID="1.2.3.2.1", SeriesInstanceUID="1.2.3.2")),
    )
    study_level = (await archive.get("/studies/1.2.3/metadata")).json()
    series_level = (await archive.get("/studies/1.2.3/series/1.2.3.1/metadata")).json()
    instance_level = (await archive.get("/studies/1.2.3/series/1.2.3.1/instances/1.2.3.1.2/metadata")).json()

    assert values(series_level, "InstanceNumber") == ["1", "2", "3"]
    assert instance_level == [series_level[1]] == [parsed[0].attributes]
    assert len(study_level) == 4
    assert all(each in study_level for each in series_level)


async def test_metadata_is_made_again_when_the_series_has_grown(archive: Archive) -> None:
    await archive.store(file_of(minimal()))
    path = "/studies/1.2.3/series/1.2.3.1/metadata"
    first = await archive.get(path)
    unchanged = await archive.get(path, **{"If-None-Match": first.headers["etag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")

    await archive.store(file_of(minimal(SOPInstanceUID="1.2.3.1.9")))
    grown = await archive.get(path, **{"If-None-Match": first.headers["etag"]})
    assert grown.status_code == 200
    assert len(grown.json()) == 2
    assert grown.headers["etag"] != first.headers["etag"]


async def test_metadata_of_a_settled_series_is_prepared_before_anybody_asks(archive: Archive) -> None:
    await archive.store(file_of(minimal()))
    settled = SeriesSettled("1.2.3", "1.2.3.1", revision=1, digest="d", instances=1)
    for _ in range(2):  # a fact may come twice
        await archive.bus.publish(settled.subject, settled.to_bytes(), headers=headers_of(settled.schema, "id"))
    count = 0
    async with asyncio.timeout(20):
        while count == 0:
            await asyncio.sleep(0.02)
            count = await archive.pool.fetchval("SELECT count(*) FROM archive.series_document")
    assert count == 1


# --- instances, frames, bulk data ------------------------------------------------------------------------------------


async def test_an_instance_leaves_as_it_came(archive: Archive) -> None:
    data = shipped("MR_small_RLE.dcm")
    (parsed,) = await archive.store(data)
    path = path_of(parsed)

    whole = await archive.get(path, 'multipart/related; type="application/dicom"')
    assert whole.headers["content-type"].startswith('multipart/related; type="application/dicom"; boundary=')
    assert parts_of(whole) == [(f"application/dicom; transfer-syntax={parsed.transfer_syntax_uid}", data)]
    alone = await archive.get(path, "application/dicom")
    assert alone.content == data


async def test_a_series_leaves_whole_with_its_length_said_beforehand(archive: Archive) -> None:
    files = [file_of(minimal(SOPInstanceUID=f"1.2.3.1.{number}", InstanceNumber=str(number))) for number in (1, 2)]
    await archive.store(*files)
    for path in ("/studies/1.2.3", "/studies/1.2.3/series/1.2.3.1"):
        answer = await archive.get(path)
        assert int(answer.headers["content-length"]) == len(answer.content)
        assert [content for _, content in parts_of(answer)] == files


def parts_of(answer: httpx.Response) -> list[tuple[str, bytes]]:
    """Content type and content of each part."""
    assert answer.status_code == 200, answer.text
    parser = MultipartParser(multipart_boundary(answer.headers["content-type"], part_type_of(answer)))
    parts: list[tuple[str, bytes]] = []
    for event in parser.feed(answer.content) + parser.close():
        match event:
            case PartBegin(headers):
                parts.append((headers["content-type"], b""))
            case PartData(data):
                parts[-1] = (parts[-1][0], parts[-1][1] + data)
    return parts


def part_type_of(answer: httpx.Response) -> str:
    return parse_content_type(answer.headers["content-type"]).parameters["type"]


@pytest.mark.parametrize("name", ["rtdose.dcm", "rtdose_rle.dcm", "SC_rgb_rle_2frame.dcm"])
async def test_frames_leave_as_stored(archive: Archive, name: str) -> None:
    (parsed,) = await archive.store(shipped(name))
    ds = pydicom.dcmread(io.BytesIO(shipped(name)))
    count = int(ds.NumberOfFrames)
    if ds.file_meta.TransferSyntaxUID.is_encapsulated:
        stored = list(generate_frames(ds.PixelData, number_of_frames=count))
    else:
        size = len(ds.PixelData) // count
        stored = [ds.PixelData[at * size : (at + 1) * size] for at in range(count)]

    one = await archive.get(f"{path_of(parsed)}/frames/2", OHIF_FRAME)
    some = await archive.get(f"{path_of(parsed)}/frames/1,{count},2", OHIF_FRAME)

    syntax = ds.file_meta.TransferSyntaxUID if ds.file_meta.TransferSyntaxUID.is_encapsulated else "1.2.840.10008.1.2.1"
    content_type = f"application/octet-stream; transfer-syntax={syntax}"
    assert parts_of(one) == [(content_type, stored[1])]
    assert parts_of(some) == [(content_type, stored[number - 1]) for number in (1, count, 2)]
    assert (await archive.get(f"{path_of(parsed)}/frames/2", "application/octet-stream")).content == stored[1]


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("rtdose_rle.dcm", 15),
        ("rtdose.dcm", 15),
        ("rtdose_expb.dcm", 15),
        ("SC_rgb_rle_2frame.dcm", 2),
        ("MR_small_jpeg_ls_lossless.dcm", 1),
        ("MR_small_jp2klossless.dcm", 1),
        ("MR_small_bigendian.dcm", 1),
        ("image_dfl.dcm", 1),
    ],
)
async def test_frames_and_instances_are_decoded_when_little_endian_is_asked_for(
    archive: Archive, name: str, number: int
) -> None:
    (parsed,) = await archive.store(shipped(name))
    ds = pydicom.dcmread(io.BytesIO(shipped(name)))
    little = "transfer-syntax=1.2.840.10008.1.2.1"

    accept = f'multipart/related; type="application/octet-stream"; {little}'
    frame = await archive.get(f"{path_of(parsed)}/frames/{number}", accept)
    whole = await archive.get(path_of(parsed), f'multipart/related; type="application/dicom"; {little}')

    expected = ds.pixel_array[number - 1] if ds.get("NumberOfFrames", 1) > 1 else ds.pixel_array
    ((content_type, native),) = parts_of(frame)
    assert content_type == f"application/octet-stream; {little}"
    if ds.get("PlanarConfiguration"):
        expected = expected.transpose(2, 0, 1)
    assert native == expected.astype(expected.dtype.newbyteorder("<")).tobytes()
    ((_, data),) = parts_of(whole)
    made = pydicom.dcmread(io.BytesIO(data))
    assert made.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert made.SOPInstanceUID == ds.SOPInstanceUID
    assert (made.pixel_array == ds.pixel_array).all()


async def test_what_cannot_be_given_says_what_would_do(archive: Archive) -> None:
    (parsed,) = await archive.store(shipped("MR_small_RLE.dcm"))
    path = path_of(parsed)
    for asked, accept in [
        (f"{path}/frames/1", 'multipart/related; type="image/png"'),
        (f"{path}/frames/1", 'multipart/related; type="image/dicom-rle"; transfer-syntax=1.2.840.10008.1.2.4.90'),
        # JPEG Baseline has 8 bits, these pixels have 16
        (f"{path}/frames/1", f'multipart/related; type="image/jpeg"; transfer-syntax={JPEGBaseline8Bit}'),
        (path, f'multipart/related; type="application/dicom"; transfer-syntax={JPEGBaseline8Bit}'),
        (path, f'multipart/related; type="application/dicom"; transfer-syntax={MPEG2MPML}'),
        (f"{path}/metadata", "image/png"),
        ("/studies", "text/csv"),
    ]:
        answer = await archive.get(asked, accept)
        assert answer.status_code == 406
        assert "application/" in answer.json()["detail"]
        assert (await archive.http.head(f"/dicom-web{asked}", headers={"Accept": accept})).status_code == 406


@pytest.mark.parametrize(
    ("media_type", "syntax"),
    [
        ("image/jls", JPEGLSLossless),
        ("image/jp2", JPEG2000Lossless),
        ("image/dicom-rle", RLELossless),
        ("image/jpeg", JPEGLosslessSV1),
        ("application/octet-stream", HTJ2KLossless),
    ],
)
async def test_frames_and_instances_are_encoded_as_they_are_asked_for(
    archive: Archive, media_type: str, syntax: str
) -> None:
    (parsed,) = await archive.store(shipped("MR_small.dcm"))
    expected = pydicom.dcmread(io.BytesIO(shipped("MR_small.dcm"))).pixel_array
    asked = media_type if media_type.startswith("image/") else f"{media_type}; transfer-syntax={syntax}"

    frame = await archive.get(f"{path_of(parsed)}/frames/1", f"multipart/related; type={asked}")
    alone = await archive.get(f"{path_of(parsed)}/frames/1", asked)
    whole = await archive.get(path_of(parsed), f"application/dicom; transfer-syntax={syntax}")

    ((content_type, coded),) = parts_of(frame)
    assert content_type == f"{media_type}; transfer-syntax={syntax}"
    assert (alone.headers["content-type"], alone.content) == (content_type, coded)
    assert whole.headers["content-type"] == f"application/dicom; transfer-syntax={syntax}"
    made = pydicom.dcmread(io.BytesIO(whole.content))
    assert made.file_meta.TransferSyntaxUID == syntax
    assert (made.pixel_array == expected).all()
    assert next(generate_frames(made.PixelData, number_of_frames=1)).rstrip(b"\0") == coded.rstrip(b"\0")


async def test_several_frames_are_encoded_one_after_another(archive: Archive) -> None:
    (parsed,) = await archive.store(shipped("rtdose.dcm"))
    accept = f"multipart/related; type=application/octet-stream; transfer-syntax={RLELossless}"
    answer = await archive.get(f"{path_of(parsed)}/frames/3,1", accept)
    alone = [(await archive.get(f"{path_of(parsed)}/frames/{number}", accept)) for number in (3, 1)]
    assert parts_of(answer) == [part for each in alone for part in parts_of(each)]
    assert "content-length" not in answer.headers


async def test_what_a_client_has_already_is_not_sent_again(archive: Archive) -> None:
    (parsed,) = await archive.store(shipped("rtdose_rle.dcm"))
    path = path_of(parsed)
    for resource in (
        path, f"{path}/frames/1", f"{path}/frames/1,2", f"{path}/metadata", f"{path}/pixeldata", f"{path}/bulkdata",
        f"{path}/bulkdata/7FE00010",
    ):  # fmt: skip
        first = await archive.get(resource)
        tag = first.headers["etag"]
        assert first.content
        assert (await archive.get(resource)).content == first.content, "the same tag means the same bytes"
        again = await archive.get(resource, **{"If-None-Match": f'"other", {tag}'})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert "accept" in again.headers["vary"].lower()
    alone = await archive.get(
        f"{path}/frames/1", "application/octet-stream", **{"If-None-Match": first.headers["etag"]}
    )
    assert alone.status_code == 200


async def test_head_says_what_get_would(archive: Archive) -> None:
    (parsed,) = await archive.store(shipped("rtdose.dcm"))
    path = path_of(parsed)
    study = f"/studies/{parsed.study_instance_uid}"
    for resource in (
        path, study, f"{path}/frames/1", f"{path}/frames/1,2", f"{path}/metadata", f"{path}/bulkdata/7FE00010",
        "/studies", f"{study}/series", f"{study}/metadata", f"{study}/pixeldata",
    ):  # fmt: skip
        got = await archive.get(resource)
        head = await archive.http.head(f"/dicom-web{resource}")
        assert (head.status_code, head.content) == (200, b"")
        for name in ("content-type", "etag", "vary"):
            assert head.headers.get(name) == got.headers.get(name), (resource, name)
        if "content-length" in head.headers:
            assert head.headers["content-length"] == got.headers["content-length"]


async def test_bulk_data_comes_in_ranges(archive: Archive) -> None:
    (parsed,) = await archive.store(shipped("CT_small.dcm"))
    path = f"{path_of(parsed)}/bulkdata/7FE00010"
    whole = pydicom.dcmread(io.BytesIO(shipped("CT_small.dcm"))).PixelData

    got = await archive.get(path, "application/octet-stream")
    assert (got.headers["accept-ranges"], got.content) == ("bytes", whole)
    for asked, first, last in [("bytes=0-99", 0, 99), ("bytes=32700-", 32700, 32767), ("bytes=-5", 32763, 32767)]:
        part = await archive.get(path, Range=asked)
        assert part.status_code == 206
        assert part.headers["content-range"] == f"bytes {first}-{last}/{len(whole)}"
        assert part.content == whole[first : last + 1]
    behind = await archive.get(path, Range="bytes=40000-")
    assert (behind.status_code, behind.headers["content-range"]) == (416, f"bytes */{len(whole)}")
    assert behind.headers["content-type"] == "application/problem+json"
    tag = {"If-Range": '"another"', "Range": "bytes=0-1"}
    assert (await archive.get(path, "application/octet-stream", **tag)).content == whole
    assert (await archive.get(path, "application/octet-stream", Range="bytes=0-1,4-5")).content == whole


async def test_pixel_data_and_bulk_data_of_everything_come_in_one_body(archive: Archive) -> None:
    native, coded = await archive.store(shipped("rtdose.dcm"), shipped("SC_rgb_rle_2frame.dcm"))
    ds = pydicom.dcmread(io.BytesIO(shipped("rtdose.dcm")))
    size = len(ds.PixelData) // 15
    frames = [ds.PixelData[at * size : (at + 1) * size] for at in range(15)]
    base = f"/studies/{native.study_instance_uid}"
    for path in (base, f"{base}/series/{native.series_instance_uid}", path_of(native)):
        assert [content for _, content in parts_of(await archive.get(f"{path}/pixeldata", OHIF_FRAME))] == frames
        (part,) = parts_of(await archive.get(f"{path}/bulkdata", "multipart/related; type=application/octet-stream"))
        assert part[1] == ds.PixelData
    coded_frames = list(generate_frames(pydicom.dcmread(io.BytesIO(shipped("SC_rgb_rle_2frame.dcm"))).PixelData))
    answer = await archive.get(f"{path_of(coded)}/pixeldata", 'multipart/related; type="image/dicom-rle"')
    assert [content for _, content in parts_of(answer)] == coded_frames
    assert f"{path_of(coded)}/frames/2\r\n".encode() in answer.content, "each part has its Content-Location"

    (empty,) = await archive.store(file_of(minimal(SOPInstanceUID="1.2.3.1.7")))
    for kind, code in (("pixeldata", "no-pixel-data"), ("bulkdata", "no-such-bulkdata")):
        missing = await archive.get(f"{path_of(empty)}/{kind}")
        assert (missing.status_code, missing.json()["code"]) == (404, code)


async def test_metadata_comes_as_xml_a_part_an_instance(archive: Archive) -> None:
    parsed = await archive.store(
        *(file_of(minimal(SOPInstanceUID=f"1.2.3.1.{number}", InstanceNumber=str(number))) for number in (1, 2))
    )
    answer = await archive.get("/studies/1.2.3/metadata", 'multipart/related; type="application/dicom+xml"')
    assert [parse_native(content) for _, content in parts_of(answer)] == [each.attributes for each in parsed]
    alone = await archive.get(f"{path_of(parsed[0])}/metadata", "application/dicom+xml")
    assert parse_native(alone.content) == parsed[0].attributes
    assert (await archive.get("/studies/1.2.3/metadata", "application/dicom+xml")).status_code == 406


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
async def test_json_is_packed_as_the_client_likes_it(archive: Archive, coding: str) -> None:
    (parsed,) = await archive.store(shipped("CT_small.dcm"))
    await archive.store(file_of(minimal()), file_of(minimal(SOPInstanceUID="1.2.3.2.1", SeriesInstanceUID="1.2.3.2")))
    for path in (
        f"{path_of(parsed)}/metadata",
        f"/studies/{parsed.study_instance_uid}/metadata",
        "/studies/1.2.3/metadata",
    ):
        plain = await archive.get(path, **{"Accept-Encoding": "identity"})
        answer = await archive.get(path, **{"Accept-Encoding": f"{coding}, identity;q=0.5"})
        assert "content-encoding" not in plain.headers
        assert answer.headers["content-encoding"] == coding
        assert answer.headers.get("etag", "packed") != plain.headers.get("etag")
        assert "Accept-Encoding" in answer.headers["vary"]
        assert answer.json() == plain.json()


async def test_what_is_accepted_may_stand_in_the_query(archive: Archive) -> None:
    (parsed,) = await archive.store(shipped("CT_small.dcm"))
    frame = await archive.get(f"{path_of(parsed)}/frames/1?accept=application/octet-stream", "text/html")
    assert frame.headers["content-type"].startswith("application/octet-stream")
    metadata = await archive.get(f"{path_of(parsed)}/metadata?accept=application/dicom+json", "text/html")
    assert metadata.status_code == 200


async def test_options_say_what_can_be_done(archive: Archive) -> None:
    for root in ("/dicom-web", "/dicom-web/"):
        described = await archive.http.options(root)
        assert described.status_code == 200
        assert described.headers["content-type"] == "application/vnd.sun.wadl+xml"
        assert f'base="{archive.url}/dicom-web"' in described.text
    listed = await archive.http.options("/dicom-web/", headers={"Accept": "application/json"})
    assert listed.json()["resources"]
    for path, allow in (("studies", "GET, HEAD, OPTIONS, POST"), ("studies/1.2/metadata", "GET, HEAD, OPTIONS")):
        options = await archive.http.options(f"/dicom-web/{path}")
        assert (options.status_code, options.headers["allow"]) == (204, allow)
        refused = await archive.http.put(f"/dicom-web/{path}", content=b"x")
        assert (refused.status_code, refused.headers["allow"]) == (405, allow)
        assert refused.json()["code"] == "method-not-allowed"
    unknown = await archive.get("/studies/1.2/nothing")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "no-such-resource")
    assert unknown.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda each: each.path)
async def test_every_resource_of_the_capabilities_is_there(archive: Archive, resource: Any) -> None:
    (parsed,) = await archive.store(shipped("SC_rgb_small_odd.dcm"))
    path = resource.path.format(
        study=parsed.study_instance_uid,
        series=parsed.series_instance_uid,
        instance=parsed.sop_instance_uid,
        frames="1",
        path="7FE00010",
    )
    accept = next(each for each in resource.transactions if each.method == "GET").accepts[0]
    answer = await archive.get(f"/{path}", accept)
    assert answer.status_code == 200, answer.text
    assert answer.content


async def test_a_frame_is_never_served_that_was_gone_before_it_was_asked_for(archive: Archive) -> None:
    (parsed,) = await archive.store(shipped("CT_small.dcm"))
    path = f"{path_of(parsed)}/frames/1"
    assert (await archive.get(path)).status_code == 200
    async with archive.pool.acquire() as connection, connection.transaction():
        await connection.execute("DELETE FROM index.instance")
        await connection.execute("UPDATE index.series SET change = change + 1, instance_count = 0")
    assert (await archive.get(path)).status_code == 404


async def test_the_change_feed_tells_what_came_since_and_waits_for_more(archive: Archive) -> None:
    before = (await archive.get("/changefeed/latest")).json()["last"]
    first, second = await archive.store(shipped("CT_small.dcm"), shipped("MR_small.dcm"))
    page = (await archive.get(f"/changefeed?since={before}&limit=1&metadata=true")).json()
    assert (page["last"], page["more"]) == (before + 1, True)
    (entry,) = page["changes"]
    assert (entry["sequence"], entry["action"], entry["state"]) == (before + 1, "create", "current")
    assert entry["SOPInstanceUID"] == dicom_json.text(entry["metadata"], "SOPInstanceUID") == first.sop_instance_uid
    rest = (await archive.get(f"/changefeed?since={before + 1}")).json()
    assert [each["SOPInstanceUID"] for each in rest["changes"]] == [second.sop_instance_uid]
    assert "metadata" not in rest["changes"][0]
    end = before + 2
    assert (await archive.get("/changefeed/latest")).json() == {"last": end}
    assert (await archive.get(f"/changefeed?since={end}")).json() == {"changes": [], "last": end, "more": False}

    waiting = asyncio.create_task(archive.get(f"/changefeed?since={end}&wait=20"))
    (third,) = await archive.store(shipped("rtdose_rle.dcm"))
    assert [each["SOPInstanceUID"] for each in (await waiting).json()["changes"]] == [third.sop_instance_uid]
    refused = await archive.get("/changefeed?limit=0")
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid-parameter")


async def test_prepared_metadata_of_what_is_deleted_goes_as_well(archive: Archive) -> None:
    (parsed,) = await archive.store(shipped("CT_small.dcm"))
    await archive.get(f"/studies/{parsed.study_instance_uid}/series/{parsed.series_instance_uid}/metadata")

    async def documents() -> int:
        return int(await archive.pool.fetchval("SELECT count(*) FROM archive.series_document"))

    while await documents() == 0:
        await asyncio.sleep(0.01)
    deleted = InstancesDeleted(parsed.study_instance_uid, parsed.series_instance_uid, (parsed.sop_instance_uid,), True)
    await archive.bus.publish(deleted.subject, deleted.to_bytes(), headers=headers_of(deleted.schema, "deleted"))
    while await documents() > 0:
        await asyncio.sleep(0.01)


async def test_what_is_not_there_is_a_404_with_a_reason(archive: Archive) -> None:
    (parsed,) = await archive.store(shipped("CT_small.dcm"))
    series = f"/studies/{parsed.study_instance_uid}/series/{parsed.series_instance_uid}"
    instance = f"{series}/instances/{parsed.sop_instance_uid}"
    for path, code in [
        ("/studies/9.9", "no-such-study"),
        ("/studies/9.9/metadata", "no-such-study"),
        ("/studies/9.9/series/9.9/metadata", "no-such-series"),
        (f"{series}/instances/9.9", "no-such-instance"),
        (f"{series}/instances/9.9/frames/1", "no-such-instance"),
        (f"{instance}/frames/2", "no-such-frame"),
        (f"{instance}/bulkdata/00280010", "no-such-bulkdata"),
    ]:
        answer = await archive.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, code)


@pytest.mark.parametrize("path", ["/studies/abc", "/studies/1.2.3/series/x/metadata", "/studies/1..2/series"])
async def test_a_path_that_names_no_uid_is_refused(archive: Archive, path: str) -> None:
    answer = await archive.get(path)
    assert (answer.status_code, answer.json()["code"]) == (400, "illegal-uid")


@pytest.mark.parametrize("frames", ["0", "x", "1,,2", "-1", "1.5"])
async def test_a_frame_list_that_is_none_is_refused(archive: Archive, frames: str) -> None:
    answer = await archive.get(f"/studies/1.2/series/1.3/instances/1.4/frames/{frames}")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid-frames")


# --- clients, services, audit ----------------------------------------------------------------------------------------


async def test_dicomweb_client_reads_everything(archive: Archive) -> None:
    await archive.store(shipped("rtdose_rle.dcm"), shipped("CT_small.dcm"))
    ds = pydicom.dcmread(io.BytesIO(shipped("rtdose_rle.dcm")))
    names = (ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID)

    def ask(client: DICOMwebClient) -> None:
        assert len(client.search_for_studies()) == 2
        assert len(client.search_for_studies(get_remaining=True, limit=1)) == 2
        assert len(client.search_for_studies(search_filters={"PatientID": str(ds.PatientID)})) == 1
        assert len(client.search_for_series(names[0], fields=["SeriesDescription"])) == 1
        assert len(client.search_for_instances(*names[:2])) == 1
        assert len(client.search_for_instances()) == 2
        (found,) = client.retrieve_series_metadata(*names[:2])
        assert client.retrieve_study_metadata(names[0]) == [found]
        assert client.retrieve_instance_metadata(*names) == found
        assert pydicom.Dataset.from_json(found, lambda *_: b"").PatientID == ds.PatientID
        assert (client.retrieve_instance(*names).pixel_array == ds.pixel_array).all()
        assert (client.retrieve_series(*names[:2])[0].pixel_array == ds.pixel_array).all()
        assert (client.retrieve_study(names[0])[0].pixel_array == ds.pixel_array).all()
        frames = list(generate_frames(ds.PixelData, number_of_frames=15))
        assert client.retrieve_instance_frames(*names, [1, 2]) == frames[:2]
        assert client.retrieve_bulkdata(found["7FE00010"]["BulkDataURI"]) == frames
        rle = (("application/octet-stream", "*"),)
        assert list(client.iter_instance_frames(*names, [5], media_types=rle)) == frames[4:5]

    await archive.with_client(ask)


async def test_services_read_by_grpc(archive: Archive) -> None:
    data = shipped("CT_small.dcm")
    (parsed,) = await archive.store(data)
    series = calls.SeriesRef(
        study_instance_uid=parsed.study_instance_uid, series_instance_uid=parsed.series_instance_uid
    )
    metadata = Principal.service("worklist").to_metadata()

    described = await archive.grpc.DescribeSeries(series, metadata=metadata)
    listed = await archive.grpc.ListInstances(series, metadata=metadata)

    assert described.instances == 1
    assert described.digest == listed.digest
    attributes = json.loads(described.attributes)
    assert attributes["00080060"]["Value"] == ["CT"]
    assert "7FE00010" not in attributes
    (ref,) = listed.instances
    assert (ref.sop_instance_uid, ref.bytes) == (parsed.sop_instance_uid, len(data))

    request = calls.ReadInstanceRequest(
        study_instance_uid=parsed.study_instance_uid,
        series_instance_uid=parsed.series_instance_uid,
        sop_instance_uid=parsed.sop_instance_uid,
    )
    whole = b"".join([chunk.data async for chunk in archive.grpc.ReadInstance(request, metadata=metadata)])
    assert whole == data
    request.header_only = True
    header = b"".join([chunk.data async for chunk in archive.grpc.ReadInstance(request, metadata=metadata)])
    assert header == data[: parsed.layout.header_bytes]

    series.series_instance_uid = "9.9"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await archive.grpc.ListInstances(series, metadata=metadata)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_an_export_is_recorded_as_what_it_is(archive: Archive) -> None:
    ds = pydicom.dcmread(io.BytesIO(shipped("CT_small.dcm")))
    ds.StudyInstanceUID = "1.2.3.78"
    (parsed,) = await archive.store(file_of(ds))
    for told, status in (("stored", 200), ("deidentified", 200), ("elsewhere", 400)):
        reply = await archive.get(f"/studies/{parsed.study_instance_uid}", **{"Plexus-Export": told})
        assert reply.status_code == status
    records = [await archive.recorded() for _ in range(2)]
    assert [(each.action, each.detail, each.instances, each.outcome) for each in records] == [
        ("export", "stored", 1, "success"),
        ("export", "deidentified", 1, "success"),
    ]


async def test_totals_outlive_their_process_in_the_database(archive: Archive, database_url: str) -> None:
    await database.migrate(database_url, package="services.archive", schema="archive")
    async with database.connected(database_url, schema="archive", size=1, health=Health()) as pool:
        totals = PostgresTotals(pool)
        first = access(Action.RETRIEVE, Principal.local(), Resource("1.2", "1.3"), trace_id="", detail="frames")
        for frames in (2, 3):
            await totals.keep([total(first, instances=1, frames=frames, size=10)])
        assert not await totals.left(60)
        (left,) = await totals.left(0)
        assert (left.record_id, left.detail, left.frames) == (f"{first.record_id}.total", "frames-total", 3)
        await totals.forget([left.record_id])
        assert not await totals.left(0)

        said: list[Any] = []

        class Bus:
            """Keeps what is said."""

            async def say(self, event: Any, *, message_id: str | None = None) -> None:
                said.append(event)

        killed = Accesses(events=Bus(), totals=totals)
        for number in (1, 2):
            where = Resource("1.2", "1.3", f"1.3.{number}")
            await killed.note(where, "frames", caller=Principal.local(), frames=2, size=10)
        await killed.keep()
        await Accesses(events=Bus(), totals=totals, idle_seconds=0).take_over()
        assert [(each.detail, each.instances, each.frames) for each in said] == [
            ("frames", 1, 2),
            ("frames-total", 2, 4),
        ]
        assert not await totals.left(0)


async def test_each_access_is_recorded_with_its_caller_and_no_value(archive: Archive) -> None:
    ds = pydicom.dcmread(io.BytesIO(shipped("CT_small.dcm")))
    ds.SeriesInstanceUID = "1.2.3.77"  # which nobody has read before
    (parsed,) = await archive.store(data := file_of(ds))
    series = f"/studies/{parsed.study_instance_uid}/series/{parsed.series_instance_uid}"
    frame = f"{series}/instances/{parsed.sop_instance_uid}/frames/1"

    await archive.get("/studies?PatientName=*secret*")
    await archive.get(f"{series}/metadata")
    for _ in range(3):
        await archive.get(frame, OHIF_FRAME)
    await archive.get(frame, "image/png")
    await archive.get(series)
    await archive.get("/studies/9.9")

    query, metadata, frames, refused, whole, missing = [await archive.recorded() for _ in range(6)]
    assert (query.action, query.outcome, query.detail, query.instances) == ("query", "success", "study", 0)
    assert "secret" not in str(query)
    assert (metadata.action, metadata.detail, metadata.series_instance_uid) == (
        "retrieve", "metadata", parsed.series_instance_uid,
    )  # fmt: skip
    assert (frames.detail, frames.sop_instance_uid, frames.outcome) == ("frames", parsed.sop_instance_uid, "success")
    assert (frames.frames, frames.bytes) == (1, 32768)
    assert (refused.detail, refused.outcome, refused.reason_code) == ("frames", "refused", "not-acceptable")
    assert (whole.detail, whole.instances, whole.bytes) == ("instances", 1, len(data))
    assert (missing.outcome, missing.reason_code, missing.study_instance_uid) == ("refused", "no-such-study", "9.9")
    assert {each.caller for each in (query, metadata, frames, refused, whole, missing)} == {"local"}
