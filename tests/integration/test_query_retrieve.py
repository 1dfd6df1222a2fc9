"""Queries, retrievals and storage commitment as stations and modalities do them, against ingest, archive and bridge.

DCMTK's findscu, movescu and getscu are the peers; what they get is compared with what QIDO-RS and the sent files say.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import nats
import numpy as np
import pydicom
import pytest
import pytest_asyncio
import uvicorn
from nats.js.api import ConsumerConfig, DeliverPolicy
from pydantic import SecretStr
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless
from pynetdicom import AE, evt
from pynetdicom.association import Association

from services.archive import bootstrap as archive
from services.archive.settings import Settings as ArchiveSettings
from services.bridge import bootstrap as bridge
from services.bridge.committing import PUSH_MODEL, PUSH_MODEL_INSTANCE
from services.bridge.settings import Settings as BridgeSettings
from services.chassis import database
from services.chassis.health import Health
from services.chassis.http import create_app
from services.chassis.log import Log
from services.chassis.service import Frame, Runtime
from services.contracts import subjects
from services.contracts.events import AuditRecorded, JobCompleted, Result, ResultsDue
from services.dicom.part10 import data_set_start
from services.ingest import bootstrap as ingest
from services.ingest.settings import Settings as IngestSettings
from services.launcher.settings import free_port

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
ROOT = "1.2.826.0.1.3680043.8.498.77"
NAMES = {
    # Specific Character Set, name as it is, a query for it as its people type it.
    "1": ("\\ISO 2022 IR 87", "Yamada^Tarou=山田^太郎=やまだ^たろう", "山田*"),
    "2": ("ISO_IR 144", "Гусева^Ирина", "гусева*"),
    "3": ("ISO_IR 126", "Διονυσιος^Νίκος", "ΔΙΟΝ*"),
    "4": ("", "Smith^John", "SMITH^J*"),
    "5": ("", "Smith^John", "smith^john"),
}


def instance(study: str, series: int, number: int) -> bytes:
    """One slice. Study 4 is MR in RLE; the others are CT, uncompressed."""
    charset, name, _ = NAMES[study]
    ds = Dataset()
    ds.SOPClassUID = MR if study == "4" else CT
    ds.SOPInstanceUID = f"{ROOT}.{study}.{series}.{number}"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = f"{ROOT}.{study}", f"{ROOT}.{study}.{series}"
    if charset:
        ds.SpecificCharacterSet = charset.split("\\") if "\\" in charset else charset
    ds.PatientName, ds.PatientID = name, "P4" if study in "45" else f"P{study}"
    ds.PatientBirthDate, ds.PatientSex = "19700101", "F"
    ds.StudyDate, ds.StudyTime, ds.AccessionNumber = f"2024010{study}", "101500", f"A{study}"
    ds.StudyID, ds.StudyDescription, ds.ReferringPhysicianName = study, "Chest", "Who^Doctor"
    ds.Modality, ds.SeriesNumber, ds.InstanceNumber = "MR" if study == "4" else "CT", series, number
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.Rows, ds.Columns = 1, "MONOCHROME2", 64, 64
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelData = np.random.default_rng(number).integers(0, 4096, (64, 64), "<u2").tobytes()
    ds["PixelData"].VR = "OW"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    if study == "4":
        ds.compress(RLELossless, generate_instance_uid=False)
    made = BytesIO()
    pydicom.dcmwrite(made, ds, enforce_file_format=True)
    return made.getvalue()


SENT = {
    f"{ROOT}.{study}.{series}.{number}": instance(study, series, number)
    for study in NAMES
    for series in (1, 2)
    for number in (1, 2, 3)
}


@dataclass
class Hospital:
    """Ingest, archive and bridge in this process, over a real PostgreSQL and a real NATS."""

    folder: Path
    dimse: int
    http: httpx.AsyncClient
    pool: asyncpg.Pool
    nats_url: str
    objects: Path
    peers: Path
    restart: Callable[[], Any]
    audit: Any
    stow: int
    """Where a DICOMweb service gets results, once one listens there."""
    stops: list[Any] = field(default_factory=list)

    async def dcmtk(self, program: str, *arguments: str, cwd: Path | None = None) -> str:
        """Run a program of DCMTK against the bridge; gives what it printed."""
        process = await asyncio.create_subprocess_exec(
            program, "-v", "-aec", "PLEXUS", *arguments, "127.0.0.1", str(self.dimse),
            cwd=cwd or self.folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        printed, _ = await process.communicate()
        return printed.decode("utf-8", "replace")

    async def found(self, folder: Path, *keys: str, model: str = "-S") -> list[Dataset]:
        """The answers that findscu gets, in its order."""
        arguments = [argument for key in keys for argument in ("-k", key)]
        folder.mkdir(exist_ok=True)
        self.said = await self.dcmtk("findscu", model, "-X", "-od", str(folder), *arguments)
        answers: list[Dataset] = [pydicom.dcmread(path, force=True) for path in sorted(folder.glob("rsp*.dcm"))]
        for path in folder.glob("rsp*.dcm"):
            path.unlink()
        return answers

    async def qido(self, path: str, **parameters: str) -> list[dict[str, Any]]:
        """The answers of QIDO-RS."""
        reply = await self.http.get(f"/dicom-web{path}", params=parameters)
        assert reply.status_code in (200, 204), reply.text
        return list(reply.json()) if reply.status_code == 200 else []

    async def records(self) -> list[AuditRecorded]:
        """The audit records that were said since this was asked last."""
        heard = []
        while True:
            try:
                heard.append(AuditRecorded.from_bytes((await self.audit.next_msg(0.3)).data))
            except (TimeoutError, nats.errors.TimeoutError):
                return [record for record in heard if record.action != "login"]


async def running(name: str, build: Any, settings: Any, stack: AsyncExitStack) -> Runtime:
    """A service in this process, until the stack is closed."""
    stopping, parts = asyncio.Event(), AsyncExitStack()
    runtime: Runtime = await build(settings, Frame(name, parts, Health(), Log(name), stopping))
    background = [asyncio.ensure_future(work(stopping)) for work in runtime.background]

    async def stop() -> None:
        stopping.set()
        await asyncio.gather(*background)
        await parts.aclose()

    stack.push_async_callback(stop)
    return runtime


@pytest_asyncio.fixture(scope="module")
async def hospital(
    postgres_url: str, nats_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Hospital]:
    """The hospital, with everything of `SENT` in it, which storescu has sent."""
    connection = await asyncpg.connect(postgres_url)
    await connection.execute("CREATE DATABASE query_retrieve")
    await connection.close()
    database_url = postgres_url.rpartition("/")[0] + "/query_retrieve"
    folder = tmp_path_factory.mktemp("hospital")
    peers = folder / "peers"
    peers.write_text("NOBODY=127.0.0.1:9  # nobody listens there\n")
    common: dict[str, Any] = {
        "database_url": database_url,
        "nats_url": nats_url,
        "objects_url": f"file://{folder}/objects",
    }
    ingest_settings = IngestSettings(grpc_port=free_port(), **common)
    archive_settings = ArchiveSettings(grpc_port=free_port(), max_matches=50, **common)
    stow_port = free_port()
    bridge_settings = BridgeSettings(
        dimse_port=free_port(),
        ingest_address=f"127.0.0.1:{ingest_settings.grpc_port}",
        archive_address=f"127.0.0.1:{archive_settings.grpc_port}",
        nats_url=SecretStr(nats_url),
        peers_file=peers,
        # A kind that no other test on this bus makes.
        send_results=f"PACS=STL, http://127.0.0.1:{stow_port}/dicom-web=STL",
        querying_ae_titles=frozenset(("FINDSCU", "MOVESCU", "GETSCU", "STATION")),
        network_timeout_seconds=20,
    )
    async with AsyncExitStack() as stack:
        await running("ingest", ingest.build, ingest_settings, stack)
        runtime = await running("archive", archive.build, archive_settings, stack)
        app = create_app("archive", health=Health(), log=Log("archive"), routers=runtime.routers)
        http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://archive")
        await stack.enter_async_context(http)
        pool = await stack.enter_async_context(
            database.connected(database_url, schema="index", size=1, health=Health())
        )
        client = await nats.connect(nats_url)
        stack.push_async_callback(client.close)
        new = ConsumerConfig(deliver_policy=DeliverPolicy.NEW)
        audit = await client.jetstream().subscribe(subjects.AUDIT_RECORDED, config=new)
        bridges = [AsyncExitStack()]

        async def restart() -> None:
            await bridges[-1].aclose()
            bridges.append(AsyncExitStack())
            await running("bridge", bridge.build, bridge_settings, bridges[-1])

        await restart()
        stack.push_async_callback(lambda: bridges[-1].aclose())
        made = Hospital(
            folder,
            bridge_settings.dimse_port,
            http,
            pool,
            nats_url,
            folder / "objects",
            peers,
            restart,
            audit,
            stow_port,
        )
        (folder / "sent").mkdir()
        for uid, data in SENT.items():
            (folder / "sent" / f"{uid}.dcm").write_bytes(data)
        for syntaxes, studies in (("-xr", "4"), ("-x=", "1235")):
            files = [str(folder / "sent" / f"{uid}.dcm") for uid in SENT if uid.removeprefix(ROOT)[1] in studies]
            process = await asyncio.create_subprocess_exec(
                "storescu", "-R", syntaxes, "-aec", "PLEXUS", "127.0.0.1", str(made.dimse), *files
            )
            assert await process.wait() == 0
        yield made


def received(folder: Path) -> dict[str, bytes]:
    """The data sets in a folder of files, by SOP Instance UID."""
    found = {}
    for path in folder.iterdir():
        data = path.read_bytes()
        uid = str(pydicom.dcmread(BytesIO(data), stop_before_pixels=True).SOPInstanceUID)
        found[uid] = data[data_set_start(data) :]
    return found


def sent(*uids: str) -> dict[str, bytes]:
    """The data sets that were sent, of these UIDs or those below."""
    return {
        uid: data[data_set_start(data) :]
        for uid, data in SENT.items()
        if any(uid == each or uid.startswith(each + ".") for each in uids)
    }


# C-FIND


@pytest.mark.parametrize("study", ["1", "2", "3", "4"])
async def test_a_name_is_found_and_comes_back_right_in_any_script(
    hospital: Hospital, tmp_path: Path, study: str
) -> None:
    _, name, query = NAMES[study]
    keys = ["QueryRetrieveLevel=STUDY", f"PatientName={query}", "StudyInstanceUID", "SpecificCharacterSet=ISO_IR 192"]
    answers = await hospital.found(tmp_path, *keys)
    expected = {each["0020000D"]["Value"][0] for each in await hospital.qido("/studies", PatientName=query)}
    assert {str(answer.StudyInstanceUID) for answer in answers} == expected
    assert f"{ROOT}.{study}" in expected
    assert {str(answer.PatientName) for answer in answers} == {name}
    assert {answer.get("SpecificCharacterSet") for answer in answers} == {None if name.isascii() else "ISO_IR 192"}


async def test_who_asks_in_a_legacy_character_set_is_answered_in_it_where_that_can_be(
    hospital: Hospital, tmp_path: Path
) -> None:
    request = Dataset()
    request.SpecificCharacterSet = "ISO_IR 144"
    request.QueryRetrieveLevel, request.PatientName, request.StudyInstanceUID = "STUDY", "гусева^*", ""
    _, cyrillic = (await asyncio.to_thread(ask, hospital.dimse, request))[0]
    assert cyrillic.SpecificCharacterSet == "ISO_IR 144"
    assert str(cyrillic.PatientName) == "Гусева^Ирина"
    request.PatientName = "yamada*"
    _, japanese = (await asyncio.to_thread(ask, hospital.dimse, request))[0]
    assert japanese.SpecificCharacterSet == "ISO_IR 192"
    assert str(japanese.PatientName) == NAMES["1"][1]


@pytest.mark.parametrize(
    ("level", "path", "keys"),
    [
        ("STUDY", "/studies", {"StudyDate": "20240102-20240104"}),
        ("STUDY", "/studies", {"StudyDate": "20240104-"}),
        ("STUDY", "/studies", {"StudyDate": "-20240102"}),
        ("STUDY", "/studies", {"StudyInstanceUID": f"{ROOT}.1\\{ROOT}.3\\{ROOT}.99"}),
        ("STUDY", "/studies", {"ModalitiesInStudy": "MR"}),
        ("STUDY", "/studies", {"AccessionNumber": "A?"}),
        ("STUDY", "/studies", {"PatientID": "P4"}),
        ("STUDY", "/studies", {"PatientName": "*"}),
        ("STUDY", "/studies", {"PatientName": "nobody*"}),
        ("SERIES", f"/studies/{ROOT}.4/series", {"SeriesNumber": "2"}),
        ("SERIES", f"/studies/{ROOT}.4/series", {"Modality": "MR"}),
        ("IMAGE", f"/studies/{ROOT}.4/series/{ROOT}.4.2/instances", {"InstanceNumber": "3"}),
        ("IMAGE", f"/studies/{ROOT}.4/series/{ROOT}.4.2/instances", {}),
    ],
)
async def test_findscu_gets_what_qido_gives(
    hospital: Hospital, tmp_path: Path, level: str, path: str, keys: dict[str, str]
) -> None:
    unique = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}[level]
    above = {"SERIES": ["StudyInstanceUID"], "IMAGE": ["StudyInstanceUID", "SeriesInstanceUID"]}.get(level, [])
    named = [f"{key}={value}" for key, value in zip(above, path.split("/")[2::2], strict=False)]
    asked = [f"{key}={value}" for key, value in keys.items()] + ([unique] if unique not in keys else [])
    answers = await hospital.found(tmp_path, f"QueryRetrieveLevel={level}", *named, *asked)
    expected = await hospital.qido(path, **{key: value.replace("\\", ",") for key, value in keys.items()})
    tag = {"STUDY": "0020000D", "SERIES": "0020000E", "IMAGE": "00080018"}[level]
    assert [str(answer[unique].value) for answer in answers] == [each[tag]["Value"][0] for each in expected]
    assert "DIMSE Status" not in hospital.said or "0x0000" in hospital.said
    for answer in answers:
        assert answer.QueryRetrieveLevel == level
        assert answer.RetrieveAETitle == "PLEXUS"


async def test_return_keys_come_back_with_their_values_and_unknown_ones_empty_under_a_warning(
    hospital: Hospital, tmp_path: Path
) -> None:
    keys = ["QueryRetrieveLevel=STUDY", f"StudyInstanceUID={ROOT}.4", "NumberOfStudyRelatedInstances"]
    (answer,) = await hospital.found(tmp_path, *keys, "ModalitiesInStudy", "StudyDescription", "PatientBirthDate")
    assert (answer.NumberOfStudyRelatedInstances, answer.ModalitiesInStudy) == (6, "MR")
    assert (answer.StudyDescription, answer.PatientBirthDate) == ("Chest", "19700101")
    request = Dataset()
    request.QueryRetrieveLevel, request.StudyInstanceUID, request.KVP = "STUDY", f"{ROOT}.5", "120"
    ((status, answer),) = await asyncio.to_thread(ask, hospital.dimse, request)
    assert status == 0xFF01
    assert "KVP" in answer
    assert not answer.KVP


async def test_patients_are_found_in_the_patient_root_with_what_they_have(hospital: Hospital, tmp_path: Path) -> None:
    keys = ["QueryRetrieveLevel=PATIENT", "PatientID", "PatientName=smith*"]
    counts = ["NumberOfPatientRelatedStudies", "NumberOfPatientRelatedInstances"]
    (patient,) = await hospital.found(tmp_path, *keys, *counts, model="-P")
    assert (patient.PatientID, patient.NumberOfPatientRelatedStudies) == ("P4", 2)
    assert patient.NumberOfPatientRelatedInstances == 12
    studies = await hospital.found(tmp_path, "QueryRetrieveLevel=STUDY", "PatientID=P4", "StudyInstanceUID", model="-P")
    assert {str(study.StudyInstanceUID) for study in studies} == {f"{ROOT}.4", f"{ROOT}.5"}


@pytest.mark.parametrize(
    ("keys", "status", "word"),
    [
        ({"PatientName": "A"}, 0xA900, "Level"),
        ({"QueryRetrieveLevel": "PATIENT", "PatientName": "A"}, 0xA900, "level"),
        ({"QueryRetrieveLevel": "SERIES", "SeriesInstanceUID": ""}, 0xA900, "Study UID"),
        ({"QueryRetrieveLevel": "STUDY", "StudyDate": "yesterday"}, 0xC000, "StudyDate"),
    ],
)
async def test_a_query_that_cannot_be_answered_is_refused_with_the_reason(
    hospital: Hospital, keys: dict[str, str], status: int, word: str
) -> None:
    request = Dataset()
    with pytest.warns(UserWarning) if "yesterday" in keys.values() else Nothing():
        for keyword, value in keys.items():
            setattr(request, keyword, value)
    answered, comment = await asyncio.to_thread(refused, hospital.dimse, request)
    assert answered == status
    assert word in comment
    assert "yesterday" not in comment


async def test_relational_queries_are_answered_once_they_are_negotiated(hospital: Hospital) -> None:
    request = Dataset()
    request.QueryRetrieveLevel, request.SeriesInstanceUID, request.Modality = "SERIES", "", "MR"
    answers = await asyncio.to_thread(ask, hospital.dimse, request, relational=True)
    assert {str(answer.SeriesInstanceUID) for _, answer in answers} == {f"{ROOT}.4.1", f"{ROOT}.4.2"}


async def test_a_query_is_cancelled_and_one_that_finds_too_much_says_so(hospital: Hospital) -> None:
    request = Dataset()
    request.QueryRetrieveLevel, request.SOPInstanceUID = "IMAGE", ""
    statuses = await asyncio.to_thread(ask_until_the_end, hospital.dimse, request)
    assert statuses[-1] in (0x0000, 0xFE00)  # it may be over before the cancel arrives
    assert set(statuses[:-1]) == {0xFF00}


async def test_every_query_is_recorded_in_the_name_of_its_ae_title(hospital: Hospital, tmp_path: Path) -> None:
    await hospital.records()
    await hospital.found(tmp_path, "QueryRetrieveLevel=STUDY", "PatientID=P1", "StudyInstanceUID")
    (record,) = await hospital.records()
    assert (record.action, record.caller, record.proved_by) == ("query", "FINDSCU", "ae-title")
    assert (record.detail, record.instances, record.outcome) == ("study", 1, "success")


async def test_who_may_not_query_is_offered_no_query(hospital: Hospital) -> None:
    said = await hospital.dcmtk("findscu", "-S", "-aet", "STRANGER", "-k", "QueryRetrieveLevel=STUDY")
    assert "No Acceptable Presentation Contexts" in said


# C-MOVE and C-GET


async def move(hospital: Hospital, folder: Path, *arguments: str) -> str:
    """Let movescu fetch to itself."""
    port = free_port()
    hospital.peers.write_text(f"NOBODY=127.0.0.1:9\nMOVESCU=127.0.0.1:{port}\n")
    folder.mkdir(exist_ok=True)
    return await hospital.dcmtk("movescu", "+P", str(port), "+B", *arguments, cwd=folder)


@pytest.mark.parametrize(
    ("level", "uid", "model"),
    [
        ("PATIENT", "4", "-P"),
        ("STUDY", "4", "-S"),
        ("SERIES", "4.2", "-S"),
        ("IMAGE", "5.1.3", "-S"),
    ],
)
async def test_movescu_gets_the_bytes_that_were_sent(
    hospital: Hospital, tmp_path: Path, level: str, uid: str, model: str
) -> None:
    parts = uid.split(".")
    uids = [".".join((ROOT, *parts[: count + 1])) for count in range(len(parts))]
    unique = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    keys = [f"{key}={value}" for key, value in zip(unique, uids, strict=False)] if level != "PATIENT" else []
    keys += ["PatientID=P4"] if level == "PATIENT" else []
    arguments = [argument for key in (f"QueryRetrieveLevel={level}", *keys) for argument in ("-k", key)]
    said = await move(hospital, tmp_path / "in", model, "+xr", *arguments)
    assert "Received Final Move Response (Success)" in said, said
    expected = sent(f"{ROOT}.4", f"{ROOT}.5") if level == "PATIENT" else sent(uids[-1])
    assert received(tmp_path / "in") == expected


async def test_a_destination_that_takes_no_compression_gets_the_same_pixels_uncompressed(
    hospital: Hospital, tmp_path: Path
) -> None:
    keys = ["-k", "QueryRetrieveLevel=SERIES"]
    keys += ["-k", f"StudyInstanceUID={ROOT}.4", "-k", f"SeriesInstanceUID={ROOT}.4.1"]
    for preference, syntax in (("+xe", ExplicitVRLittleEndian), ("+xi", ImplicitVRLittleEndian)):
        folder = tmp_path / syntax
        said = await move(hospital, folder, "-S", preference, *keys)
        assert "Received Final Move Response (Success)" in said, said
        for path in folder.iterdir():
            ds = pydicom.dcmread(path)
            assert ds.file_meta.TransferSyntaxUID == syntax
            before = pydicom.dcmread(BytesIO(SENT[ds.SOPInstanceUID]))
            assert (ds.pixel_array == before.pixel_array).all()
        assert len(list(folder.iterdir())) == 3


async def test_the_move_says_how_far_it_is_and_names_its_originator(hospital: Hospital) -> None:
    with storage_scp(answer=lambda event: 0x0000) as (port, events):
        hospital.peers.write_text(f"ELSEWHERE=127.0.0.1:{port}")
        request = retrieval(f"{ROOT}.1")
        statuses = await asyncio.to_thread(move_to, hospital.dimse, "ELSEWHERE", request)
    pending = [status for status in statuses if status.Status == 0xFF00]
    assert [status.NumberOfRemainingSuboperations for status in pending] == [5, 4, 3, 2, 1]
    assert (statuses[-1].Status, statuses[-1].NumberOfCompletedSuboperations) == (0x0000, 6)
    assert {event.request.MoveOriginatorApplicationEntityTitle for event in events} == {"STATION"}
    assert len({id(event.assoc) for event in events}) == 1


async def test_instances_that_are_not_taken_are_named(hospital: Hospital) -> None:
    bad = f"{ROOT}.1.2.2"
    with storage_scp(lambda event: 0xA700 if event.request.AffectedSOPInstanceUID == bad else 0x0000) as (port, _):
        hospital.peers.write_text(f"ELSEWHERE=127.0.0.1:{port}")
        failed: list[str] = []
        statuses = await asyncio.to_thread(move_to, hospital.dimse, "ELSEWHERE", retrieval(f"{ROOT}.1"), failed)
    assert (statuses[-1].Status, statuses[-1].NumberOfFailedSuboperations) == (0xB000, 1)
    assert failed == [bad]


# pynetdicom drops the socket of a connection that fails without closing it.
unclosed = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


@unclosed
@pytest.mark.parametrize(
    ("destination", "study", "status"),
    [
        ("UNHEARD-OF", "1", 0xA801),
        ("NOBODY", "1", 0xA702),
        ("NOBODY", "99", 0x0000),
        ("NOBODY", "", 0xA900),
    ],
)
async def test_a_move_that_cannot_be_done_says_why(
    hospital: Hospital, destination: str, study: str, status: int
) -> None:
    hospital.peers.write_text("NOBODY=127.0.0.1:9")
    request = retrieval(f"{ROOT}.{study}" if study else "")
    statuses = await asyncio.to_thread(move_to, hospital.dimse, destination, request)
    assert statuses[-1].Status == status


async def test_a_move_is_cancelled_between_two_instances(hospital: Hospital) -> None:
    with storage_scp(answer=lambda event: 0x0000) as (port, events):
        hospital.peers.write_text(f"ELSEWHERE=127.0.0.1:{port}")
        statuses = await asyncio.to_thread(move_to, hospital.dimse, "ELSEWHERE", retrieval(f"{ROOT}.1"), cancel=True)
    assert statuses[-1].Status in (0xFE00, 0x0000)
    if statuses[-1].Status == 0xFE00:
        assert statuses[-1].NumberOfRemainingSuboperations == 6 - len(events)


async def test_getscu_gets_the_bytes_that_were_sent_over_the_association_that_asked(
    hospital: Hospital, tmp_path: Path
) -> None:
    keys = ["-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={ROOT}.2"]
    said = await hospital.dcmtk("getscu", "-S", "+B", "-od", str(tmp_path), *keys)
    assert "Received C-GET Response (Success)" in said or "Final Outcome: Success" in said or "0x0000" in said, said
    assert received(tmp_path) == sent(f"{ROOT}.2")


async def test_getscu_that_knows_no_rle_gets_what_was_stored_in_it_uncompressed(
    hospital: Hospital, tmp_path: Path
) -> None:
    keys = ["-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={ROOT}.4"]
    await hospital.dcmtk("getscu", "-S", "-od", str(tmp_path), *keys)
    assert len(received(tmp_path)) == 6


async def test_what_was_fetched_is_recorded_in_the_name_of_who_fetched_it(hospital: Hospital, tmp_path: Path) -> None:
    await hospital.records()
    keys = ["-k", "QueryRetrieveLevel=SERIES"]
    keys += ["-k", f"StudyInstanceUID={ROOT}.3", "-k", f"SeriesInstanceUID={ROOT}.3.1"]
    await hospital.dcmtk("getscu", "-S", "-od", str(tmp_path), *keys)
    records = [record for record in await hospital.records() if record.action == "retrieve"]
    assert records
    assert {(record.caller, record.study_instance_uid) for record in records} == {("GETSCU", f"{ROOT}.3")}


async def test_what_was_moved_is_recorded_as_a_transfer_to_its_destination(hospital: Hospital, tmp_path: Path) -> None:
    await hospital.records()
    keys = ["-k", "QueryRetrieveLevel=SERIES"]
    keys += ["-k", f"StudyInstanceUID={ROOT}.3", "-k", f"SeriesInstanceUID={ROOT}.3.1"]
    await move(hospital, tmp_path / "in", "-S", "+xr", *keys)
    assert received(tmp_path / "in")
    records = [record for record in await hospital.records() if record.action != "query"]
    assert {
        (each.action, each.caller, each.destination, each.destination_address, each.study_instance_uid)
        for each in records
    } == {("transfer-out", "MOVESCU", "MOVESCU", "127.0.0.1", f"{ROOT}.3")}


@unclosed
async def test_what_could_not_be_moved_is_recorded_as_a_transfer_that_failed(hospital: Hospital) -> None:
    hospital.peers.write_text("NOBODY=127.0.0.1:9")
    await hospital.records()
    await asyncio.to_thread(move_to, hospital.dimse, "NOBODY", retrieval(f"{ROOT}.3"))
    (failed,) = [record for record in await hospital.records() if record.action != "query"]
    assert (failed.service, failed.action, failed.outcome) == ("bridge", "transfer-out", "failure")
    assert (failed.destination, failed.study_instance_uid) == ("NOBODY", f"{ROOT}.3")
    assert (failed.reason_code, failed.instances > 0) == ("peer-unreachable", True)


# Storage commitment


class Modality:
    """A modality that asks for storage commitment, and listens for the report."""

    def __init__(self, ae_title: str = "MODALITY") -> None:
        self.ae_title = ae_title
        self.port = free_port()
        self.reports: list[tuple[int, Dataset]] = []
        self._server: Any = None

    def _on_report(self, event: Any) -> tuple[int, None]:
        self.reports.append((event.event_type, event.event_information))
        return 0x0000, None

    def listen(self) -> None:
        """Take reports on an association of their own."""
        entity = AE(self.ae_title)
        entity.add_supported_context(PUSH_MODEL, scu_role=False, scp_role=True)
        handlers: list[Any] = [(evt.EVT_N_EVENT_REPORT, self._on_report)]
        self._server = entity.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)

    def stop(self) -> None:
        """Hear no more."""
        if self._server is not None:
            self._server.shutdown()

    def associate(self, port: int) -> Association:
        """An association with the bridge, on which reports are heard too."""
        entity = AE(self.ae_title)
        entity.add_requested_context(PUSH_MODEL)
        handlers: list[Any] = [(evt.EVT_N_EVENT_REPORT, self._on_report), (evt.EVT_CONN_OPEN, remember)]
        return entity.associate("127.0.0.1", port, ae_title="PLEXUS", evt_handlers=handlers)

    def ask(self, assoc: Association, transaction: str, *references: tuple[str, str]) -> int:
        """Ask for commitment; gives the status of the N-ACTION."""
        information = Dataset()
        information.TransactionUID = transaction
        information.ReferencedSOPSequence = [item(*reference) for reference in references]
        status, _ = assoc.send_n_action(information, 1, PUSH_MODEL, PUSH_MODEL_INSTANCE)
        return int(status.Status)

    async def reported(self, count: int = 1) -> tuple[int, Dataset]:
        """The last report, once so many have come."""
        while len(self.reports) < count:
            await asyncio.sleep(0.02)
        return self.reports[-1]


def item(sop_class: str, instance: str) -> Dataset:
    made = Dataset()
    made.ReferencedSOPClassUID, made.ReferencedSOPInstanceUID = sop_class, instance
    return made


@pytest.fixture
def modality() -> Iterator[Modality]:
    """A modality."""
    made = Modality()
    yield made
    made.stop()


def failures(report: Dataset) -> dict[str, int]:
    return {str(each.ReferencedSOPInstanceUID): each.FailureReason for each in report.get("FailedSOPSequence", [])}


async def test_what_is_stored_is_committed_on_the_association_that_asked(
    hospital: Hospital, modality: Modality
) -> None:
    assoc = await asyncio.to_thread(modality.associate, hospital.dimse)
    references = [(MR if ".77.4." in uid else CT, uid) for uid in SENT]
    assert await asyncio.to_thread(modality.ask, assoc, "1.2.3.1", *references) == 0x0000
    kind, report = await modality.reported()
    await asyncio.to_thread(assoc.release)
    assert (kind, report.TransactionUID, report.RetrieveAETitle) == (1, "1.2.3.1", "PLEXUS")
    assert {str(each.ReferencedSOPInstanceUID) for each in report.ReferencedSOPSequence} == set(SENT)


async def test_what_is_not_safe_is_named_with_the_reason_and_the_rest_committed(
    hospital: Hospital, modality: Modality
) -> None:
    held, lost = f"{ROOT}.5.2.1", f"{ROOT}.5.2.3"
    digest = await hospital.pool.fetchval(
        "SELECT encode(digest, 'hex') FROM index.instance WHERE sop_instance_uid = $1", lost
    )
    (path,) = hospital.objects.rglob(digest)
    whole = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(whole[:-10])
    assoc = await asyncio.to_thread(modality.associate, hospital.dimse)
    references = [(CT, held), (CT, f"{ROOT}.404"), (MR, f"{ROOT}.5.2.2"), (CT, lost)]
    assert await asyncio.to_thread(modality.ask, assoc, "1.2.3.2", *references) == 0x0000
    kind, report = await modality.reported()
    await asyncio.to_thread(assoc.release)
    path.write_bytes(whole)
    assert kind == 2
    assert [str(each.ReferencedSOPInstanceUID) for each in report.ReferencedSOPSequence] == [held]
    assert failures(report) == {f"{ROOT}.404": 0x0112, f"{ROOT}.5.2.2": 0x0119, lost: 0x0110}


@unclosed
async def test_who_has_left_hears_on_a_new_association_even_after_both_were_away(
    hospital: Hospital, modality: Modality
) -> None:
    def ask_and_go() -> int:
        assoc = modality.associate(hospital.dimse)
        status = modality.ask(assoc, "1.2.3.3", (CT, f"{ROOT}.5.1.1"))
        assoc.abort()
        return status

    hospital.peers.write_text(f"MODALITY=127.0.0.1:{modality.port}")
    assert await asyncio.to_thread(ask_and_go) == 0x0000
    reports = len(modality.reports)  # on the same association, before it left
    await hospital.restart()
    modality.listen()
    if not reports:
        kind, report = await modality.reported()
        assert (kind, report.TransactionUID) == (1, "1.2.3.3")


@pytest.mark.parametrize(
    ("transaction", "references", "status"),
    [("", [(CT, "1.2")], 0x0115), ("1.2.3.9", [], 0x0115)],
)
async def test_a_request_that_names_nothing_is_refused(
    hospital: Hospital, modality: Modality, transaction: str, references: list[tuple[str, str]], status: int
) -> None:
    assoc = await asyncio.to_thread(modality.associate, hospital.dimse)
    assert await asyncio.to_thread(modality.ask, assoc, transaction, *references) == status
    await asyncio.to_thread(assoc.release)


# Peers by pynetdicom, for what DCMTK's programs cannot be made to do

_connections: list[socket.socket] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while _connections:
        _connections.pop().close()


def remember(event: Any) -> None:
    _connections.append(event.assoc.dul.socket.socket)


class Nothing:
    """A context that does nothing."""

    def __enter__(self) -> None:
        """Nothing."""

    def __exit__(self, *_: object) -> None:
        """Nothing."""


def station(port: int, abstract_syntax: str, *, relational: bool = False) -> Association:
    entity = AE("STATION")
    entity.add_requested_context(abstract_syntax)
    extended: list[Any] = []
    if relational:
        from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation

        asked = SOPClassExtendedNegotiation()
        asked.sop_class_uid = abstract_syntax
        asked.service_class_application_information = b"\x01\x00\x00"
        extended.append(asked)
    handlers: list[Any] = [(evt.EVT_CONN_OPEN, remember)]
    return entity.associate("127.0.0.1", port, ae_title="PLEXUS", ext_neg=extended, evt_handlers=handlers)


def ask(port: int, request: Dataset, *, relational: bool = False) -> list[tuple[int, Dataset]]:
    assoc = station(port, STUDY_ROOT_FIND, relational=relational)
    answers = [(int(status.Status), found) for status, found in assoc.send_c_find(request, STUDY_ROOT_FIND) if found]
    assoc.release()
    return answers


def ask_until_the_end(port: int, request: Dataset) -> list[int]:
    assoc = station(port, STUDY_ROOT_FIND, relational=True)
    statuses: list[int] = []
    for status, _ in assoc.send_c_find(request, STUDY_ROOT_FIND, msg_id=7):
        if not statuses:
            assoc.send_c_cancel(7, query_model=STUDY_ROOT_FIND)
        statuses.append(int(status.Status))
    assoc.release()
    return statuses


def refused(port: int, request: Dataset) -> tuple[int, str]:
    assoc = station(port, STUDY_ROOT_FIND)
    ((status, _),) = assoc.send_c_find(request, STUDY_ROOT_FIND)
    assoc.release()
    return int(status.Status), str(status.get("ErrorComment", ""))


def retrieval(study: str) -> Dataset:
    request = Dataset()
    request.QueryRetrieveLevel, request.StudyInstanceUID = "STUDY", study
    return request


def move_to(
    port: int, destination: str, request: Dataset, failed: list[str] | None = None, *, cancel: bool = False
) -> list[Dataset]:
    model = "1.2.840.10008.5.1.4.1.2.2.2"
    assoc = station(port, model)
    statuses: list[Dataset] = []
    for status, identifier in assoc.send_c_move(request, destination, model, msg_id=5):
        if cancel and not statuses:
            assoc.send_c_cancel(5, query_model=model)
        statuses.append(status)
        if failed is not None and identifier is not None:
            listed = identifier.FailedSOPInstanceUIDList
            failed += [str(listed)] if isinstance(listed, str) else map(str, listed)
    assoc.release()
    return statuses


class storage_scp:  # noqa: N801  # used as a function
    """A destination that answers as it is told."""

    def __init__(self, answer: Callable[[Any], int]) -> None:
        self._answer = answer
        self._events: list[Any] = []

    def _on_store(self, event: Any) -> int:
        self._events.append(event)
        return self._answer(event)

    def __enter__(self) -> tuple[int, list[Any]]:
        port = free_port()
        entity = AE("ELSEWHERE")
        for sop_class in (CT, MR):
            entity.add_supported_context(sop_class)
        handlers: list[Any] = [(evt.EVT_C_STORE, self._on_store)]
        self._server: Any = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
        return port, self._events

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()


# Results sent on


@asynccontextmanager
async def second_store(hospital: Hospital, postgres_url: str) -> AsyncIterator[asyncpg.Pool]:
    """A DICOMweb store of another hospital, where results are sent; gives its database."""
    connection = await asyncpg.connect(postgres_url)
    await connection.execute("DROP DATABASE IF EXISTS second_store WITH (FORCE)")
    await connection.execute("CREATE DATABASE second_store")
    await connection.close()
    database_url = postgres_url.rpartition("/")[0] + "/second_store"
    where: dict[str, Any] = {
        "database_url": database_url,
        "nats_url": hospital.nats_url,
        "objects_url": f"file://{hospital.folder}/second",
    }
    settings = IngestSettings(grpc_port=free_port(), **where)
    async with AsyncExitStack() as stack:
        runtime = await running("ingest", ingest.build, settings, stack)
        app = create_app(
            "ingest", health=Health(), log=Log("ingest"), routers=runtime.routers, status_of=runtime.status_of
        )
        server = uvicorn.Server(uvicorn.Config(app, port=hospital.stow, log_config=None, ws="none", lifespan="off"))
        serving = asyncio.create_task(server.serve())
        yield await stack.enter_async_context(database.connected(database_url, schema="index", size=1, health=Health()))
        server.should_exit = True
        await serving


def made_by(job_id: str, *results: tuple[str, str, str]) -> JobCompleted:
    """What a job said that it has made: kind, SOP Instance UID and class of each."""
    made = (
        Result(kind, uid.rpartition(".")[0].rpartition(".")[0], uid.rpartition(".")[0], uid, sop_class)
        for kind, uid, sop_class in results
    )
    return JobCompleted(job_id, tuple(made))


async def test_results_reach_a_pacs_and_when_it_is_back_a_dicomweb_service(
    hospital: Hospital, postgres_url: str
) -> None:
    taken: dict[str, str] = {}

    def keep(event: Any) -> int:
        taken[str(event.request.AffectedSOPInstanceUID)] = str(event.context.transfer_syntax)
        return 0x0000

    port, before = free_port(), hospital.peers.read_text()
    hospital.peers.write_text(f"{before}\nPACS=127.0.0.1:{port}\n")
    wanted = (f"{ROOT}.4.1.1", f"{ROOT}.1.1.1")
    event = made_by("sent-on", ("STL", wanted[0], MR), ("STL", wanted[1], CT), ("SEG", f"{ROOT}.2.1.1", CT))
    client = await nats.connect(hospital.nats_url)
    pacs = AE("PACS")
    for sop_class in (CT, MR):
        pacs.add_supported_context(sop_class, ExplicitVRLittleEndian)
    server = pacs.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, keep)])
    records: list[AuditRecorded] = []

    async def recorded(number: int) -> None:
        while sum(record.detail == "result" for record in records) < number:
            records.extend(record for record in await hospital.records() if record.action == "transfer-out")

    try:
        with socket.create_server(("127.0.0.1", hospital.stow)):  # the service hangs, and holds nobody up
            await client.jetstream().publish(
                event.subject, event.to_bytes(), headers={"Nats-Msg-Id": "sent-on.completed"}
            )
            await recorded(1)
        assert taken == dict.fromkeys(wanted, str(ExplicitVRLittleEndian))
        async with second_store(hospital, postgres_url) as second:
            await recorded(2)
            # Byte for byte as they are stored, in the compression in which they are.
            digests = "SELECT sop_instance_uid, digest FROM index.instance WHERE sop_instance_uid = ANY ($1::text[])"
            arrived = await second.fetch(digests, wanted)
            assert len(arrived) == 2
            assert set(arrived) == set(await hospital.pool.fetch(digests, wanted))
            assert await second.fetchval("SELECT count(*) FROM index.instance") == 2
    finally:
        await client.close()
        hospital.peers.write_text(before)
        assert server is not None
        await asyncio.to_thread(server.shutdown)
    url = f"http://127.0.0.1:{hospital.stow}/dicom-web"
    told = [(one.outcome, one.destination, one.destination_address, one.instances) for one in records if one.job_id]
    assert told == [("success", "PACS", "127.0.0.1", 2), ("success", url, "127.0.0.1", 2)]
    read = [(one.service, one.destination) for one in records if not one.job_id]
    assert sorted(read) == [("archive", "PACS")] * 2 + [("archive", url)] * 2  # to whom, before the first byte


async def test_what_a_service_refuses_is_kept_aside_with_the_reason_and_can_be_said_again(
    hospital: Hospital, postgres_url: str
) -> None:
    client = await nats.connect(hospital.nats_url)
    streams = client.jetstream()
    dead = await streams.subscribe(
        f"{subjects.DEAD}.bridge-results-due-2", config=ConsumerConfig(deliver_policy=DeliverPolicy.NEW)
    )
    event = made_by("refused", ("STL", f"{ROOT}.5.1.1", CT), ("STL", f"{ROOT}.99.1.1", CT))
    due = ResultsDue("refused", f"http://127.0.0.1:{hospital.stow}/dicom-web", event.results)
    async with second_store(hospital, postgres_url) as second:
        await streams.publish(subjects.RESULT_QUEUES[1], due.to_bytes(), headers={"Nats-Msg-Id": "refused.due"})
        letter = await dead.next_msg(30)
        assert letter.headers is not None
        assert letter.headers["Plexus-Reason-Code"] == "result-gone"
        assert ResultsDue.from_bytes(letter.data) == due
        assert await second.fetchval("SELECT count(*) FROM index.instance") == 1  # the one that is there has arrived
        # As after a crash between the arrival and its acknowledgement: it is there once.
        await streams.publish(subjects.RESULT_QUEUES[1], due.to_bytes(), headers={"Nats-Msg-Id": "refused.again"})
        await dead.next_msg(30)
        assert await second.fetchval("SELECT count(*) FROM index.instance") == 1
        assert await second.fetchval("SELECT count(*) FROM index.conflict") == 0
    records = [record for record in await hospital.records() if record.job_id == "refused"]
    assert [(one.outcome, one.reason_code, one.instances) for one in records] == [
        ("success", "", 1),
        ("failure", "result-gone", 1),
    ] * 2
    await client.close()
