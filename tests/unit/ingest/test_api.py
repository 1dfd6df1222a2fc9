"""The HTTP edge: addresses and media types of its answers."""

from __future__ import annotations

import gzip
from functools import partial

import httpx
import pytest
from fastapi import FastAPI

from services.chassis.health import Health
from services.chassis.http import create_app
from services.chassis.log import Log
from services.dicom import multipart, uids
from services.dicom.part10 import parse_instance
from services.ingest.api import storing as api
from services.ingest.errors import http_status
from services.ingest.handlers import storing as handlers
from services.ingest.intake import Front
from services.store.errors import IndexUnavailable
from services.store.memory import MemoryObjects
from tests.unit.ingest.fakes import FakeDeliveries, FakeLedger, FakeTally
from tests.unit.ingest.made import made


@pytest.fixture
def ledger() -> FakeLedger:
    return FakeLedger()


@pytest.fixture
def app(ledger: FakeLedger) -> FastAPI:
    objects, log = MemoryObjects(), Log("test")
    front = Front(
        partial(handlers.store, objects=objects, ledger=ledger, tally=FakeTally(), log=log),
        objects=objects,
        deliveries=FakeDeliveries(),
        max_bytes=10**6,
        in_flight=2,
    )
    return create_app("ingest", health=Health(), log=log, routers=[api.router(front)], status_of=http_status)


async def post(app: FastAPI, body: bytes, path: str = "/dicom-web/studies", **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://host.test:8080") as client:
        content_type = 'multipart/related; type="application/dicom"; boundary=b'
        return await client.post(path, content=body, headers={"Content-Type": content_type, **headers})


def part(file: bytes, content_type: str = "application/dicom") -> bytes:
    return multipart.part_head("b", content_type) + file + multipart.PART_TAIL


async def test_retrieve_urls_are_at_the_address_that_the_client_used(app: FastAPI) -> None:
    response = await post(app, part(made()) + multipart.closing("b"))

    assert response.json()["00081190"]["Value"][0].startswith("http://host.test:8080/dicom-web/studies/")


async def test_a_host_that_is_no_host_does_not_get_into_the_answer(app: FastAPI) -> None:
    response = await post(
        app, part(made()) + multipart.closing("b"), **{"X-Forwarded-Host": "evil/<script>", "X-Forwarded-Proto": "x"}
    )

    assert response.json()["00081190"]["Value"][0].startswith("/dicom-web/studies/")


async def test_xml_is_there_for_who_asks_for_it_first(app: FastAPI) -> None:
    body = part(made()) + multipart.closing("b")

    xml = await post(app, body, accept="application/dicom+xml")
    both = await post(app, body, accept="application/dicom+json, application/dicom+xml;q=0.5")

    assert xml.headers["content-type"].startswith("application/dicom+xml")
    assert b"<NativeDicomModel" in xml.content
    assert both.headers["content-type"] == "application/dicom+json"


async def test_the_way_in_which_a_viewer_writes_a_body_is_understood(app: FastAPI) -> None:
    # A CRLF before the first boundary, none after the last, and parts without headers.
    body = b"\r\n--b\r\n\r\n" + made() + b"\r\n" + part(made(), "application/octet-stream") + b"--b--"

    response = await post(app, body)

    assert response.status_code == 200
    assert len(response.json()["00081199"]["Value"]) == 2


async def test_a_part_of_another_media_type_is_refused_alone(app: FastAPI) -> None:
    response = await post(app, part(made()) + part(b"{}", "application/json") + multipart.closing("b"))

    assert response.status_code == 202
    assert response.json()["0008119A"]["Value"][0]["00081197"]["Value"] == [0xC000]


async def test_a_warning_for_what_was_kept_first(app: FastAPI) -> None:
    uid = uids.new_uid()
    await post(app, part(made(SOPInstanceUID=uid)) + multipart.closing("b"))

    response = await post(app, part(made(SOPInstanceUID=uid)) + multipart.closing("b"))

    assert response.status_code == 202
    assert response.json()["00081199"]["Value"][0]["00081196"]["Value"] == [0xB000]


async def test_everything_of_a_request_to_its_study_is_409_when_none_is_of_it(app: FastAPI) -> None:
    file = made()

    response = await post(app, part(file) + multipart.closing("b"), f"/dicom-web/studies/{uids.new_uid()}")

    assert response.status_code == 409
    failed = response.json()["00081198"]["Value"][0]
    assert failed["00081155"]["Value"] == [parse_instance(file).sop_instance_uid]


async def test_a_database_that_is_away_is_503_with_the_time_to_come_back(app: FastAPI, ledger: FakeLedger) -> None:
    ledger.fails_with = IndexUnavailable("ConnectionRefusedError")

    response = await post(app, part(made()) + multipart.closing("b"))

    assert response.status_code == 503
    assert response.headers["retry-after"] == "5"


async def test_one_file_needs_no_parts(app: FastAPI) -> None:
    response = await post(app, made(), **{"Content-Type": "application/dicom"})

    assert response.status_code == 200
    assert len(response.json()["00081199"]["Value"]) == 1


@pytest.mark.parametrize("members", [1, 2])
async def test_a_body_may_be_compressed(app: FastAPI, members: int) -> None:
    body = part(made()) + part(made()) + multipart.closing("b")
    cut = len(body) // members
    packed = b"".join(gzip.compress(body[at : at + cut]) for at in range(0, len(body), cut))

    response = await post(app, packed, **{"Content-Encoding": "gzip"})

    assert response.status_code == 200
    assert len(response.json()["00081199"]["Value"]) == 2


async def test_a_compressed_body_that_breaks_off_keeps_what_came_whole(app: FastAPI) -> None:
    packed = gzip.compress(part(made()) + part(made(Manufacturer=uids.new_uid())) + multipart.closing("b"), 0)

    response = await post(app, packed[:-200], **{"Content-Encoding": "gzip"})

    assert response.status_code == 202
    assert len(response.json()["00081199"]["Value"]) == 1


@pytest.mark.parametrize(
    ("content_type", "coding", "status"),
    [
        ("multipart/related; type=application/dicom; boundary=b", "compress", 415),
        ("multipart/related; type=application/dicom; boundary=b", "gzip, gzip", 415),
        ("multipart/related; type=application/dicom; boundary=b", "gzip", 400),
        ("multipart/related; type=application/dicom", "", 400),
        ("multipart/related; type=text/plain; boundary=b", "", 415),
        ("multipart/form-data; boundary=b", "", 415),
        ("application/json", "", 415),
        ("", "", 415),
    ],
)
async def test_a_body_that_is_nothing_we_know_is_told_so(
    app: FastAPI, content_type: str, coding: str, status: int
) -> None:
    response = await post(app, b"nothing", **{"Content-Type": content_type, "Content-Encoding": coding})

    assert response.status_code == status
    assert ("accept-encoding" in response.headers) == (coding in ("compress", "gzip, gzip"))


@pytest.mark.parametrize("content_type", ["application/dicom", "application/dicom+json"])
async def test_an_empty_body_is_told_so(app: FastAPI, content_type: str) -> None:
    response = await post(app, b"", **{"Content-Type": content_type})

    assert (response.status_code, response.json()["code"]) == (400, "empty-request")
