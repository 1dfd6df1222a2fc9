"""Instances whose metadata and bulk data come apart: what is stored is what both say together."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pydicom
import pytest
from imagecodecs import htj2k_encode, jpeg2k_encode, jpeg8_encode, jpegls_encode
from pydicom.filebase import DicomBytesIO
from pydicom.uid import CTImageStorage

from services.chassis.health import Health
from services.chassis.http import create_app
from services.chassis.log import Log
from services.dicom import multipart, uids
from services.dicom.native_xml import native_dicom_model
from services.dicom.part10 import parse_instance
from services.ingest.api import storing as api
from services.ingest.errors import http_status
from services.ingest.handlers import storing as handlers
from services.ingest.intake import Front
from services.store.file_objects import FileObjects
from tests.unit.ingest.fakes import FakeDeliveries, FakeLedger, FakeTally
from tests.unit.ingest.made import made

JSON, XML = "application/dicom+json", "application/dicom+xml"
Json = dict[str, Any]
Part = tuple[bytes, dict[str, str]]


class Door:
    """The front door over a folder."""

    def __init__(self, folder: Path) -> None:
        self.objects = FileObjects(folder)
        self._folder = folder
        front = Front(
            partial(handlers.store, objects=self.objects, ledger=FakeLedger(), tally=FakeTally(), log=Log("test")),
            objects=self.objects,
            deliveries=FakeDeliveries(),
            max_bytes=10**8,
            in_flight=2,
        )
        routers = [api.router(front, max_metadata_bytes=100_000)]
        self._app = create_app("ingest", health=Health(), log=Log("test"), routers=routers, status_of=http_status)

    async def send(self, *parts: Part, kind: str = JSON, path: str = "/dicom-web/studies") -> httpx.Response:
        written = [
            multipart.part_head(
                "b", headers["content_type"], **{k: v for k, v in headers.items() if k != "content_type"}
            )
            + content
            + multipart.PART_TAIL
            for content, headers in parts
        ]
        body = b"".join(written) + multipart.closing("b")
        return await self.post(body, f'multipart/related; type="{kind}"; boundary=b', path)

    async def post(self, body: bytes, content_type: str, path: str = "/dicom-web/studies") -> httpx.Response:
        transport = httpx.ASGITransport(self._app)
        async with httpx.AsyncClient(transport=transport, base_url="http://host.test:8080") as client:
            return await client.post(path, content=body, headers={"Content-Type": content_type})

    def stored(self) -> list[bytes]:
        """The files that are kept; nothing else may be left."""
        assert not list((self._folder / "incoming").glob("*"))
        return [path.read_bytes() for path in self._folder.rglob("*") if path.is_file()]


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return Door(tmp_path)


def image(**attributes: Any) -> Json:
    """The metadata of a CT image whose pixels are at `pixels`."""
    parsed = parse_instance(made(**attributes))
    metadata: Json = json.loads(parsed.metadata)
    metadata["7FE00010"] = {"vr": "OW", "BulkDataURI": "pixels"}
    return metadata


def undescribed(frames: int = 1) -> Json:
    """The same without a description of the pixels."""
    kept = {tag: element for tag, element in image().items() if not tag.startswith("0028")}
    return kept | {"00280008": {"vr": "IS", "Value": [frames]}}


def metadata(*data_sets: Json) -> Part:
    return json.dumps(data_sets).encode(), {"content_type": JSON}


def bulk(content: bytes, media_type: str = "application/octet-stream", location: str = "pixels") -> Part:
    return content, {"content_type": media_type, "content_location": location}


def failures(response: httpx.Response) -> list[int]:
    answer = response.json()
    return [
        item["00081197"]["Value"][0]
        for tag in ("00081198", "0008119A")
        for item in answer.get(tag, {}).get("Value", ())
    ]


def without_pixels(attributes: Mapping[str, Any]) -> Json:
    return {tag: element for tag, element in attributes.items() if tag != "7FE00010"}


@pytest.mark.parametrize("kind", [JSON, XML])
async def test_metadata_and_pixels_become_a_file(door: Door, kind: str) -> None:
    described, pixels = image(PatientName="Гусева^Анна", SpecificCharacterSet="ISO_IR 192"), bytes(range(128))
    first = metadata(described) if kind == JSON else (native_dicom_model(described), {"content_type": XML})

    response = await door.send(first, bulk(pixels), kind=kind)

    assert response.status_code == 200
    (file,) = door.stored()
    assert without_pixels(json.loads(parse_instance(file).metadata)) == without_pixels(described)
    assert pydicom.dcmread(DicomBytesIO(file)).PixelData == pixels


async def test_bulk_data_may_come_first_and_serve_several_instances(door: Door) -> None:
    pixels = bytes(128)

    response = await door.send(bulk(pixels), metadata(image(), image()))

    assert response.status_code == 200
    assert len(door.stored()) == 2


async def test_large_bulk_data_goes_through_the_disk(door: Door) -> None:
    pixels = bytes(range(256)) * (2 * 2000 * 2000 // 256)
    described = image() | {"00280010": {"vr": "US", "Value": [2000]}, "00280011": {"vr": "US", "Value": [2000]}}

    response = await door.send(metadata(described), bulk(pixels))

    assert response.status_code == 200
    (file,) = door.stored()
    assert pydicom.dcmread(DicomBytesIO(file)).PixelData == pixels


@pytest.mark.parametrize("location", ["pixels", "/dicom-web/pixels", "http://host.test:8080/dicom-web/pixels"])
async def test_a_location_is_read_against_the_address_of_the_request(door: Door, location: str) -> None:
    response = await door.send(metadata(image()), bulk(bytes(128), location=location))

    assert response.status_code == 200


RGB = np.zeros((8, 8, 3), np.uint8)
GREY = np.arange(64, dtype=np.uint16).reshape(8, 8)


@pytest.mark.parametrize(
    ("media_type", "codestream", "syntax", "photometric"),
    [
        ("image/jpeg", jpeg8_encode(GREY.astype(np.uint8)), "4.50", "MONOCHROME2"),
        ("image/jpeg", jpeg8_encode(RGB, subsampling="444"), "4.50", "YBR_FULL"),
        ("image/jpeg", jpeg8_encode(RGB, subsampling="422"), "4.50", "YBR_FULL_422"),
        ("image/jpeg", jpeg8_encode(GREY, lossless=True, predictor=1, bitspersample=16), "4.70", "MONOCHROME2"),
        ("image/jpeg", jpeg8_encode(GREY, lossless=True, predictor=4, bitspersample=16), "4.57", "MONOCHROME2"),
        ("image/jls", jpegls_encode(GREY), "4.80", "MONOCHROME2"),
        ("image/jls", jpegls_encode(GREY, level=2), "4.81", "MONOCHROME2"),
        ("image/jp2", jpeg2k_encode(GREY, reversible=True, codecformat="j2k"), "4.90", "MONOCHROME2"),
        ("image/jp2", jpeg2k_encode(RGB, reversible=True, codecformat="j2k", mct=True), "4.90", "YBR_RCT"),
        ("image/jp2", jpeg2k_encode(RGB, level=10, codecformat="j2k", mct=True), "4.91", "YBR_ICT"),
        ("image/jphc", htj2k_encode(GREY, reversible=True), "4.201", "MONOCHROME2"),
        (
            "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.4.80",
            jpegls_encode(GREY),
            "4.80",
            "MONOCHROME2",
        ),
    ],
)
async def test_pixels_that_are_compressed_say_what_they_are(
    door: Door, media_type: str, codestream: bytes, syntax: str, photometric: str
) -> None:
    response = await door.send(metadata(undescribed()), bulk(codestream, media_type))

    assert response.status_code == 200
    (file,) = door.stored()
    ds = pydicom.dcmread(DicomBytesIO(file))
    assert ds.file_meta.TransferSyntaxUID == f"1.2.840.10008.1.2.{syntax}"
    assert (ds.Rows, ds.Columns, ds.PhotometricInterpretation) == (8, 8, photometric)
    assert parse_instance(file).layout.frames is not None
    assert ds.pixel_array.shape[:2] == (8, 8)


@pytest.mark.parametrize("locations", [["pixels"] * 3, ["pixels/frames/3", "pixels/frames/1", "pixels/frames/2"]])
async def test_each_frame_may_be_a_part(door: Door, locations: list[str]) -> None:
    frames = [jpegls_encode(GREY + shift) for shift in range(3)]
    order = [2, 0, 1] if "frames" in locations[0] else [0, 1, 2]
    parts = [bulk(frames[n], "image/jls", location) for n, location in zip(order, locations, strict=True)]

    response = await door.send(metadata(undescribed(frames=3)), metadata(), *parts)

    assert response.status_code == 200
    (file,) = door.stored()
    assert (pydicom.dcmread(DicomBytesIO(file)).pixel_array == [GREY, GREY + 1, GREY + 2]).all()


async def test_a_document_is_its_bytes(door: Door) -> None:
    document = without_pixels(image()) | {"00420011": {"vr": "OB", "BulkDataURI": "report.pdf"}}

    response = await door.send(metadata(document), bulk(b"%PDF-", "application/pdf", "report.pdf"))

    assert response.status_code == 200
    (file,) = door.stored()
    assert pydicom.dcmread(DicomBytesIO(file)).EncapsulatedDocument == b"%PDF-\0"


async def test_an_instance_whose_bulk_data_does_not_come_is_refused_alone(door: Door) -> None:
    other = image()
    other["7FE00010"]["BulkDataURI"] = "elsewhere"

    response = await door.send(metadata(image(), other), bulk(bytes(128)))

    assert response.status_code == 202
    assert failures(response) == [0xC000]
    assert response.json()["00081198"]["Value"][0]["00081155"] == other["00080018"]
    assert len(door.stored()) == 1


@pytest.mark.parametrize(
    "parts",
    [
        [bulk(bytes(128), location="somewhere")],
        [(bytes(128), {"content_type": "application/octet-stream"})],
        [(b"no json", {"content_type": JSON})],
        [(b'["no data set"]', {"content_type": JSON})],
        [(b"<html/>", {"content_type": XML})],
        [metadata({"00100010": {"vr": "PN"}})],
        [metadata(image() | {"00280010": {"vr": "US", "Value": ["many"]}})],
        [(b"[" + b" " * 200_000 + b"]", {"content_type": JSON})],
    ],
)
async def test_a_part_that_will_not_do_is_refused_alone(door: Door, parts: list[Part]) -> None:
    response = await door.send(metadata(image()), bulk(bytes(128)), *parts)

    assert response.status_code == 202
    assert len(failures(response)) == 1
    assert len(door.stored()) == 1


@pytest.mark.parametrize("media_type", ["image/png", "image/jpeg", "application/octet-stream; transfer-syntax=1.2.3"])
async def test_pixels_that_no_transfer_syntax_has_are_refused(door: Door, media_type: str) -> None:
    response = await door.send(metadata(image()), bulk(b"no codestream at all", media_type))

    assert response.status_code == 409
    assert failures(response) == [0xC122]


async def test_too_few_frames_are_refused(door: Door) -> None:
    response = await door.send(metadata(undescribed(frames=2)), bulk(jpegls_encode(GREY), "image/jls"))

    assert response.status_code == 409
    assert failures(response) == [0xC000]


async def test_an_instance_of_another_study_than_the_path_is_refused_alone(door: Door) -> None:
    study = uids.new_uid()

    response = await door.send(
        metadata(image(), image(StudyInstanceUID=study)), bulk(bytes(128)), path=f"/dicom-web/studies/{study}"
    )

    assert response.status_code == 202
    assert failures(response) == [0xA900]


async def test_a_body_that_breaks_off_stores_what_has_come_whole(door: Door) -> None:
    late = image()
    late["7FE00010"]["BulkDataURI"] = "late"
    body = b"".join(
        multipart.part_head("b", headers["content_type"], content_location=headers.get("content_location", ""))
        + content
        + multipart.PART_TAIL
        for content, headers in (metadata(image(), late), bulk(bytes(128)), bulk(bytes(10), location="late"))
    )

    response = await door.post(body[:-6], f'multipart/related; type="{JSON}"; boundary=b')

    assert response.status_code == 202
    assert len(door.stored()) == 1
    assert len(failures(response)) == 2


async def test_metadata_without_bulk_data_needs_no_parts(door: Door) -> None:
    report = without_pixels(image()) | {"00080016": {"vr": "UI", "Value": [CTImageStorage]}}

    json_answer = await door.post(json.dumps([report]).encode(), JSON)
    xml_answer = await door.post(native_dicom_model(report), XML)

    assert (json_answer.status_code, xml_answer.status_code) == (200, 200)
    assert len(door.stored()) == 1  # the same bytes, whichever way they came
