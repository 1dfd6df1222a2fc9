"""Rendered resources and thumbnails over HTTP (PS3.18 10.4.1.1.3, 10.4.1.1.4), on an archive in memory."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import pytest_asyncio
from PIL import Image

from services.archive.adapters.recent import RecentAnswers
from services.archive.adapters.rendering import WorkerRenderer
from services.archive.adapters.workers import Workers
from services.archive.api.rendered import Rendered
from services.archive.errors import http_status
from services.archive.handlers.recording import Accesses
from services.chassis.health import Health
from services.chassis.http import create_app
from services.chassis.log import Log
from services.contracts.events import Outcome
from tests.unit.archive.held import Held
from tests.unit.dicom.samples import file_of, minimal
from tests.unit.pixels.shown import made

_CHROME = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
_SLICES = [np.full((8, 10), value, dtype=np.uint8) for value in (10, 20, 30)]
_WINDOW: dict[str, Any] = {"WindowCenter": "128", "WindowWidth": "256"}


@dataclass
class Edge:
    """The archive, and a client."""

    held: Held
    accesses: Accesses
    http: httpx.AsyncClient

    async def get(self, path: str, accept: str = "*/*", **headers: str) -> httpx.Response:
        return await self.http.get(f"/dicom-web/{path}", headers={"Accept": accept, **headers})

    async def image(self, path: str, accept: str = "image/png") -> Image.Image:
        answer = await self.get(path, accept)
        assert answer.status_code == 200, answer.text
        image = Image.open(io.BytesIO(answer.content))
        assert image.get_format_mimetype() == answer.headers["content-type"]
        return image


@asynccontextmanager
async def serving(held: Held, workers: Workers, *, direct: bool) -> AsyncIterator[Edge]:
    accesses, renderer = Accesses(events=held), WorkerRenderer(workers)
    images = Rendered(
        index=held,
        places=held,
        accesses=accesses,
        answers=RecentAnswers(max_bytes=2**20),
        objects=held.objects,
        renderer=renderer,
        files=held.path,
    )
    app = create_app(
        "archive",
        health=Health(),
        log=Log("archive"),
        routers=[images.router()],
        status_of=http_status,
        direct=images.direct() if direct else (),
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://archive:1") as client:
        yield Edge(held, accesses, client)


@pytest_asyncio.fixture(scope="module")
async def workers() -> AsyncIterator[Workers]:
    pool = Workers(count=1, memory_bytes=1024**3, seconds=60, log=Log("archive"))
    yield pool
    await pool.close()


@pytest_asyncio.fixture
async def edge(workers: Workers) -> AsyncIterator[Edge]:
    async with serving(Held(), workers, direct=True) as edge:
        yield edge


def parts_of(answer: httpx.Response) -> list[Message]:
    whole = message_from_bytes(f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode() + answer.content)
    parts = whole.get_payload()
    assert isinstance(parts, list)
    return [part for part in parts if isinstance(part, Message)]


def content_of(part: Message) -> bytes:
    content = part.get_payload(decode=True)
    assert isinstance(content, bytes)
    return content


def multiframe(count: int = 5, **attributes: Any) -> bytes:
    frames = np.repeat(np.arange(count, dtype=np.uint8) * 10, 80).reshape(count * 8, 10)
    return made(frames, Rows=8, NumberOfFrames=str(count), **_WINDOW, **attributes)


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("image/jpeg", "image/jpeg"),
        ("image/png", "image/png"),
        ("image/gif", "image/gif"),
        ("image/webp", "image/webp"),
        ("*/*", "image/jpeg"),
        ("image/*", "image/jpeg"),
        (_CHROME, "image/jpeg"),
        ("image/png;q=0.5, image/webp;q=0.9", "image/webp"),
        ("image/*;q=0.9, image/jpeg;q=0.1", "image/png"),
        ("application/dicom, image/png;q=0.2", "image/png"),
        ("image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.50", "image/jpeg"),
    ],
)
async def test_an_image_comes_as_the_client_likes_it_best(edge: Edge, accept: str, media_type: str) -> None:
    path = edge.held.store(made(_SLICES[0], **_WINDOW)).path
    answer = await edge.get(f"{path}/rendered", accept)
    assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)
    assert Image.open(io.BytesIO(answer.content)).get_format_mimetype() == media_type
    assert (await edge.get(f"{path}/rendered?accept={media_type}", "text/html")).headers["content-type"] == media_type


@pytest.mark.parametrize("accept", ["image/tiff", "application/dicom", 'multipart/related; type="application/dicom"'])
async def test_what_cannot_be_given_is_refused_with_a_list_of_what_would_do(edge: Edge, accept: str) -> None:
    path = edge.held.store(made(_SLICES[0])).path
    for kind in ("rendered", "thumbnail"):
        answer = await edge.get(f"{path}/{kind}", accept)
        assert answer.status_code == 406
        assert "image/jpeg" in answer.json()["detail"]
        assert 'multipart/related; type="image/png"' in answer.json()["detail"]


async def test_the_parameters_are_followed(edge: Edge) -> None:
    path = edge.held.store(made(np.arange(80, dtype=np.uint8).reshape(8, 10))).path
    image = await edge.image(f"{path}/rendered?window=40,80,linear-exact&viewport=5,4,0,0,-5,4")
    assert image.size == (5, 4)
    assert np.asarray(image)[0].tolist() == [13, 10, 6, 3, 0]
    large, small = [len((await edge.get(f"{path}/rendered?quality={q}", "image/jpeg")).content) for q in (100, 1)]
    assert large > small
    assert "icc_profile" in (await edge.image(f"{path}/rendered?iccprofile=srgb")).info


@pytest.mark.parametrize(
    "query",
    ["window=1,2", "viewport=0,1", "quality=0", "iccprofile=cmyk", "annotation=", "viewport=8,8,100,100",
     "accept=image/gif&iccprofile=srgb"],
)  # fmt: skip
async def test_an_invalid_parameter_is_named(edge: Edge, query: str) -> None:
    path = edge.held.store(made(_SLICES[0])).path
    answer = await edge.get(f"{path}/rendered?{query}")
    assert answer.status_code == 400
    assert query.rpartition("&")[2].partition("=")[0] in answer.json()["detail"]
    assert edge.held.said[-1].outcome is Outcome.FAILURE


async def test_annotations_are_burned_in_and_those_that_are_unknown_are_named(edge: Edge) -> None:
    path = edge.held.store(made(np.zeros((64, 64), dtype=np.uint8), PatientName="Doe^Jane", **_WINDOW)).path
    assert (await edge.image(f"{path}/rendered")).getextrema() == (0, 0)
    answer = await edge.get(f"{path}/rendered?annotation=patient,weather", "image/png")
    assert answer.headers["warning"] == '299 plexus "The following annotation values are not supported: weather"'
    assert np.asarray(Image.open(io.BytesIO(answer.content))).max() > 200


async def test_a_name_that_no_font_can_write_is_refused_without_being_repeated(edge: Edge) -> None:
    path = edge.held.store(made(_SLICES[0], SpecificCharacterSet="ISO_IR 192", PatientName="Гусева^Анна")).path
    answer = await edge.get(f"{path}/rendered?annotation=patient")
    assert answer.status_code == 406
    assert answer.json()["code"] == "not-writable"
    assert "Гусева" not in answer.text


async def test_one_image_of_many_frames_stands_for_them_and_costs_one_range(edge: Edge) -> None:
    data = multiframe()
    path = edge.held.store(data).path
    assert np.asarray(await edge.image(f"{path}/rendered"))[0, 0] == 20
    assert edge.held.objects.reads == [(data.index(bytes([10] * 80)) + 80, 80)]
    named = edge.held.store(multiframe(SOPInstanceUID="1.2.3.9", RepresentativeFrameNumber=5)).path
    assert np.asarray(await edge.image(f"{named}/rendered"))[0, 0] == 40


async def test_a_worker_reads_its_one_frame_from_a_file_by_itself(edge: Edge, tmp_path: Path) -> None:
    data = multiframe()
    path = edge.held.store(data).path
    edge.held.files = tmp_path / "object"
    edge.held.files.write_bytes(data)
    assert np.asarray(await edge.image(f"{path}/frames/5/rendered"))[0, 0] == 40
    assert edge.held.objects.reads == []
    edge.held.files.unlink()
    assert (await edge.get(f"{path}/frames/4/rendered")).json()["code"] == "object-missing"


async def test_what_was_made_once_is_not_made_again_and_is_recorded_each_time(edge: Edge) -> None:
    path = edge.held.store(multiframe()).path
    for query in ("rendered", "thumbnail"):
        first, second = [await edge.get(f"{path}/{query}") for _ in range(2)]
        assert first.content == second.content
    assert len(edge.held.objects.reads) == 2
    await edge.accesses.sum_up(everything=True)
    assert [(each.detail, each.frames) for each in edge.held.said[2:]] == [
        ("rendered-total", 2),
        ("thumbnail-total", 2),
    ]


async def test_frames_are_named_by_number(edge: Edge) -> None:
    path = edge.held.store(multiframe()).path
    assert np.asarray(await edge.image(f"{path}/frames/4/rendered"))[0, 0] == 30
    answer = await edge.get(f"{path}/frames/5,1/rendered", "image/png")
    parts = parts_of(answer)
    assert [part.get_content_type() for part in parts] == ["image/png"] * 2
    assert [np.asarray(Image.open(io.BytesIO(content_of(part))))[0, 0] for part in parts] == [40, 0]
    assert parts[0]["Content-Location"] == f"http://archive:1/dicom-web/{path}/frames/5/rendered"
    assert [(await edge.get(f"{path}/frames/{bad}/rendered")).status_code for bad in ("6", "0", "x")] == [404, 400, 400]


async def test_frames_make_a_moving_gif_at_their_own_pace(edge: Edge) -> None:
    path = edge.held.store(multiframe(FrameTime="40")).path
    image = await edge.image(f"{path}/rendered", "image/gif")
    assert (getattr(image, "n_frames", 0), image.info["duration"], image.size) == (5, 40, (10, 8))
    some = await edge.image(f"{path}/frames/2,3/rendered", "image/gif")
    assert getattr(some, "n_frames", 0) == 2


async def test_all_frames_come_as_parts_on_request(edge: Edge) -> None:
    path = edge.held.store(multiframe()).path
    answer = await edge.get(f"{path}/rendered", 'multipart/related; type="image/jpeg"')
    assert len(parts_of(answer)) == 5
    single = edge.held.store(made(_SLICES[0], SOPInstanceUID="1.2.3.9")).path
    assert len(parts_of(await edge.get(f"{single}/rendered", "multipart/related; type=image/png"))) == 1


async def test_a_study_comes_as_parts_and_says_when_some_of_it_is_no_image(edge: Edge) -> None:
    for number, pixels in enumerate(_SLICES):
        edge.held.store(made(pixels, SOPInstanceUID=f"1.2.3.4.{number}", **_WINDOW))
    whole = await edge.get("studies/1.2.3/series/1.2.3.1/rendered", "image/png")
    assert whole.status_code == 200
    assert whole.headers["content-type"].startswith('multipart/related; type="image/png"; boundary=')
    assert [np.asarray(Image.open(io.BytesIO(content_of(p))))[0, 0] for p in parts_of(whole)] == [10, 20, 30]
    edge.held.store(file_of(minimal(Modality="SR", SeriesInstanceUID="1.2.3.2", SOPInstanceUID="1.2.3.5")))
    partly = await edge.get("studies/1.2.3/rendered", 'multipart/related; type="image/jpeg"')
    assert (partly.status_code, len(parts_of(partly))) == (206, 3)
    assert (await edge.get("studies/1.2.3/series/1.2.3.2/rendered")).status_code == 406


async def test_a_document_is_no_image_and_its_thumbnail_says_what_it_is(edge: Edge) -> None:
    resource = edge.held.store(file_of(minimal(Modality="SR")))
    assert (await edge.get(f"{resource.path}/rendered")).status_code == 406
    for path in (resource.path, "studies/1.2.3/series/1.2.3.1", "studies/1.2.3", f"{resource.path}/frames/1"):
        image = await edge.image(f"{path}/thumbnail?viewport=96,96")
        assert image.size == (96, 96)
        assert image.getextrema() == (48, 208)


@pytest.mark.parametrize("hidden", [{"Modality": "SEG"}, {"BurnedInAnnotation": "YES"}])
async def test_a_thumbnail_shows_no_mask_and_no_name_in_the_pixels(edge: Edge, hidden: dict[str, str]) -> None:
    path = edge.held.store(made(_SLICES[2], **_WINDOW, **hidden)).path
    assert (await edge.image(f"{path}/thumbnail")).getpixel((0, 0)) == 48
    assert (await edge.image(f"{path}/rendered")).getpixel((0, 0)) == 30


async def test_pixels_that_nobody_can_decode_are_refused_and_have_a_thumbnail(edge: Edge) -> None:
    broken = file_of(_palette_without_entries())
    path = edge.held.store(broken).path
    assert (await edge.get(f"{path}/rendered")).status_code == 406
    assert (await edge.image(f"{path}/thumbnail")).getpixel((0, 0)) == 48


def _palette_without_entries() -> Any:
    ds = minimal(Modality="US")
    for keyword, value in {
        "Rows": 8, "Columns": 10, "SamplesPerPixel": 1, "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7,
        "PixelRepresentation": 0, "PhotometricInterpretation": "PALETTE COLOR",
    }.items():  # fmt: skip
        setattr(ds, keyword, value)
    for number in (1, 2, 3):
        ds.add_new(0x00281100 + number, "US", [3, 0, 16])
    ds.add_new(0x7FE00010, "OB", bytes(80))
    return ds


async def test_a_thumbnail_is_the_middle_of_the_largest_series_of_images(edge: Edge) -> None:
    edge.held.store(file_of(minimal(Modality="SR", SeriesInstanceUID="1.2.3.7", SOPInstanceUID="1.2.3.70")))
    edge.held.store(made(np.full((8, 10), 99, dtype=np.uint8), SeriesInstanceUID="1.2.3.8", SOPInstanceUID="1.2.3.80"))
    for number, pixels in enumerate(_SLICES):
        edge.held.store(made(pixels, SOPInstanceUID=f"1.2.3.4.{number}", **_WINDOW))
    image = await edge.image("studies/1.2.3/thumbnail")
    assert image.size == (128, 102)
    assert image.getpixel((0, 0)) == 20
    assert (await edge.image("studies/1.2.3/thumbnail?viewport=20,20")).size == (20, 16)
    assert (await edge.get("studies/1.2.3/thumbnail?viewport=20,20,0,0,5,5")).status_code == 400


async def test_the_thumbnail_of_a_slide_is_its_smallest_level_as_a_whole(edge: Edge) -> None:
    slide = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.77.1.6", "Modality": "SM"}
    edge.held.store(multiframe(200, SOPInstanceUID="1.2.3.1.1", **slide))
    tiles = np.repeat(np.array([10, 20, 30, 40], dtype=np.uint8), 80).reshape(32, 10)
    small = made(tiles, Rows=8, NumberOfFrames="4", TotalPixelMatrixRows=12, TotalPixelMatrixColumns=20,
                 DimensionOrganizationType="TILED_FULL", SOPInstanceUID="1.2.3.1.2", **_WINDOW, **slide)  # fmt: skip
    edge.held.store(small)
    image = await edge.image("studies/1.2.3/series/1.2.3.1/thumbnail?viewport=20,12")
    assert image.size == (20, 12)
    assert [image.getpixel(at) for at in ((0, 0), (19, 0), (0, 11), (19, 11))] == [10, 20, 30, 40]


async def test_who_has_an_image_does_not_get_it_again(edge: Edge) -> None:
    path = edge.held.store(multiframe()).path
    tags = set()
    for query in ("rendered", "rendered?quality=50", "frames/1/rendered", "thumbnail", "thumbnail?viewport=8,8"):
        first = await edge.get(f"{path}/{query}", "image/png")
        assert first.headers["cache-control"] == "private, no-cache"
        again = await edge.get(f"{path}/{query}", "image/png", **{"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
        tags.add(first.headers["etag"])
    tags.add((await edge.get(f"{path}/rendered", "image/jpeg")).headers["etag"])
    assert len(tags) == 6


async def test_head_answers_as_get_does_and_makes_no_stream(edge: Edge) -> None:
    path = edge.held.store(multiframe()).path
    for query, accept in (
        ("rendered", "image/png"),
        ("thumbnail", "image/png"),
        ("rendered", "image/gif"),
        ("frames/1,2/rendered", "image/png"),
    ):
        answer = await edge.http.head(f"/dicom-web/{path}/{query}", headers={"Accept": accept})
        assert answer.status_code == 200
        assert accept in answer.headers["content-type"]
    assert len(edge.held.objects.reads) == 3  # of the loop, the first frame; of the parts, none


async def test_the_way_past_the_framework_gives_what_the_routes_give(edge: Edge, workers: Workers) -> None:
    path = edge.held.store(multiframe()).path
    async with serving(edge.held, workers, direct=False) as routed:
        for query in ("rendered?viewport=5,5", "frames/2/rendered", "thumbnail", "rendered?viewport=5"):
            one, other = await edge.get(f"{path}/{query}"), await routed.get(f"{path}/{query}")
            assert (one.status_code, one.content, one.headers.get("etag")) == (
                other.status_code, other.content, other.headers.get("etag"),
            )  # fmt: skip


async def test_what_is_not_there_is_404(edge: Edge) -> None:
    edge.held.store(made(_SLICES[0]))
    paths = ("studies/9", "studies/1.2.3/series/9", "studies/1.2.3/series/1.2.3.1/instances/9")
    for path in paths:
        for kind in ("rendered", "thumbnail"):
            assert (await edge.get(f"{path}/{kind}")).status_code == 404
    assert (await edge.get("studies/1.2.3/series/1.2.3.1/instances/1.2.3.4/frames/2/thumbnail")).status_code == 404


async def test_the_audit_tells_what_was_seen_and_what_was_refused(edge: Edge) -> None:
    resource = edge.held.store(made(_SLICES[0]))
    await edge.get(f"{resource.path}/rendered")
    await edge.get(f"{resource.path}/rendered", "image/tiff")
    await edge.get("studies/1.2.3/thumbnail")
    said = [(each.detail, each.outcome, each.sop_instance_uid) for each in edge.held.said]
    assert said == [
        ("rendered", Outcome.SUCCESS, resource.sop_instance_uid),
        ("rendered", Outcome.REFUSED, resource.sop_instance_uid),
        ("thumbnail", Outcome.SUCCESS, resource.sop_instance_uid),
    ]


async def test_every_image_of_the_data_set_has_a_thumbnail(edge: Edge, shared_data: Path) -> None:
    for name in (
        *("multiframe/emri_small_RLE.dcm", "xray/dx-small.dcm", "derived/pdf.dcm", "derived/rtdose.dcm"),
        *("syntaxes-color/examples_palette.dcm", "wsi/sm_image.dcm", "derived/parametric_map_float.dcm"),
    ):
        path = edge.held.store((shared_data / name).read_bytes()).path
        assert max((await edge.image(f"{path}/thumbnail", "image/jpeg")).size) == 128, name
