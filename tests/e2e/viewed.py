"""Looks at every kind of result in OHIF: `python -m tests.e2e.viewed --edge http://127.0.0.1:8080 -o pictures`.

Makes a source of each kind (CT volume, enhanced multi-frame, CR, ultrasound loop, slide), has the real encoder of
`encode` make every result of it, stores all of it in a mesh that runs, opens each result in OHIF as its link would,
and saves what is on screen, with what the viewer says. A person looks at the pictures: docs/conformance.md has what was
seen.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import BrowserContext, Page, sync_playwright
from pydicom import Dataset, dcmread
from pydicom.uid import ComputedRadiographyImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian

from load_tests import data
from services.contracts.card import ModelCard, ResultKind
from services.encode.adapters.highdicom import HighdicomEncoder
from services.encode.model import Document, Names, Original, Task
from services.encode.result import Arrays, FrameName, InferredResult
from tests import pictures
from tests.e2e.test_the_viewer import _CHROMIUM, _QUIET
from tests.studies import make_study, uid_of
from tests.unit.encode.kinds import everything

_ENCODER = HighdicomEncoder(omit_empty_frames=True)
_NAMES = Names(b"v" * 32)
_OF_ONE_SLICE = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "SliceLocation",
                 "RescaleIntercept", "RescaleSlope")  # fmt: skip
_RUN = uuid4().hex
"""Every run makes studies of its own, so that it shows what the encoder makes now."""
_VIEWPORT = {"x": 290, "y": 90, "width": 860, "height": 600}
_DRAWN = 3000
SOURCES = ("CT volume", "enhanced CT", "CR", "US loop", "tiled SM")
_SEG_TYPES = ("binary", "fractional", "labelmap")


@dataclass(frozen=True)
class Source:
    """A series: its data sets in the order of the planes of a result, their frames, and what a model asks for."""

    name: str
    instances: Sequence[Dataset]
    input: str

    @property
    def frames(self) -> list[tuple[str, int]]:
        return [
            (ds.SOPInstanceUID, frame + 1) for ds in self.instances for frame in range(int(ds.get("NumberOfFrames", 1)))
        ]

    @property
    def size(self) -> tuple[int, int, int]:
        first = self.instances[0]
        return len(self.frames), first.Rows, first.Columns


def _saved(ds: Dataset) -> bytes:
    file = BytesIO()
    ds.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _volume(sample: Path, folder: Path) -> list[Dataset]:
    study = make_study(sample, folder, seed=f"viewed {_RUN}", count=25)
    return sorted(map(dcmread, study.folder.glob("*.dcm")), key=lambda ds: float(ds.ImagePositionPatient[2]))


def _one_instance(ds: Dataset, name: str, sop_class: str, modality: str) -> Dataset:
    """A data set of the same patient, with nothing of a single slice."""
    made = dcmread(BytesIO(_saved(ds)), stop_before_pixels=True)
    for keyword in _OF_ONE_SLICE:
        made.pop(keyword, None)
    made.StudyInstanceUID, made.SeriesInstanceUID = uid_of(name, _RUN, "study"), uid_of(name, _RUN, "series")
    made.SOPInstanceUID, made.SOPClassUID, made.Modality = uid_of(name, _RUN, "instance"), sop_class, modality
    made.StudyDescription = made.SeriesDescription = name
    made.file_meta.MediaStorageSOPClassUID = sop_class
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return made


def _enhanced(slices: Sequence[Dataset]) -> Dataset:
    ds = _one_instance(slices[0], "viewed enhanced CT", EnhancedCTImageStorage, "CT")
    ds.NumberOfFrames, ds.ImageType = len(slices), ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    groups = []
    for slice_ in slices:
        position, group, content = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = slice_.ImagePositionPatient
        content.DimensionIndexValues = [len(groups) + 1]
        group.PlanePositionSequence, group.FrameContentSequence = [position], [content]
        groups.append(group)
    measures, turned, shared, values, window = Dataset(), Dataset(), Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = slices[0].PixelSpacing, slices[0].SliceThickness
    turned.ImageOrientationPatient = slices[0].ImageOrientationPatient
    values.RescaleSlope, values.RescaleIntercept = slices[0].RescaleSlope, slices[0].RescaleIntercept
    values.RescaleType = "HU"
    window.WindowCenter, window.WindowWidth = "-400", "1500"
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [turned]
    shared.PixelValueTransformationSequence, shared.FrameVOILUTSequence = [values], [window]
    ds.SharedFunctionalGroupsSequence, ds.PerFrameFunctionalGroupsSequence = [shared], groups
    ds.add_new("PixelData", "OW", np.stack([slice_.pixel_array for slice_ in slices]).tobytes())
    return ds


def _radiograph(slices: Sequence[Dataset]) -> Dataset:
    """The CT, seen from the front."""
    ds = _one_instance(slices[0], "viewed CR", ComputedRadiographyImageStorage, "CR")
    del ds.FrameOfReferenceUID
    volume = np.stack([slice_.pixel_array for slice_ in slices[::-1]]).astype(np.float32)
    image = np.repeat(volume.clip(-1000, 1500).mean(axis=1), 10, axis=0)
    image = 4095 * (image - image.min()) / np.ptp(image)
    ds.Rows, ds.Columns = image.shape
    ds.PixelRepresentation, ds.BitsStored, ds.HighBit = 0, 12, 11
    ds.ViewPosition, ds.BodyPartExamined, ds.ImageType = "PA", "CHEST", ["DERIVED", "PRIMARY"]
    ds.WindowCenter, ds.WindowWidth, ds.PatientOrientation = "2048", "4096", ["L", "F"]
    ds.add_new("PixelData", "OW", image.astype("<u2").tobytes())
    return ds


def sources(sample: Path, folder: Path, wanted: Sequence[str]) -> Iterator[Source]:
    """A source of each kind that is wanted."""
    slices = _volume(sample, folder / "ct")
    if "CT volume" in wanted:
        yield Source("CT volume", slices, "volume")
    if "enhanced CT" in wanted:
        yield Source("enhanced CT", [_enhanced(slices)], "volume")
    if "CR" in wanted:
        yield Source("CR", [_radiograph(slices)], "image")
    if "US loop" in wanted:
        loop = pictures.ultrasound(folder / "us", frames=20)
        yield Source("US loop", [_anew(next(loop.folder.iterdir()))], "frames")
    if "tiled SM" in wanted:
        slide = pictures.slide(folder / "sm", tiles=4)
        (largest, *_) = sorted(slide.folder.iterdir())
        yield Source("tiled SM", [_anew(largest)], "frames")


def _anew(path: Path) -> Dataset:
    ds = dcmread(path)
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"):
        setattr(ds, keyword, uid_of(ds[keyword].value, _RUN))
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    return ds


def _balls(planes: int, rows: int, columns: int) -> NDArray[np.float32]:
    """Two balls, as 0 to 1: [labels, planes, rows, columns]. Flat sources have the middle of them on every plane."""
    z, y, x = np.ogrid[-1 : 1 : planes * 1j, -1 : 1 : rows * 1j, -1 : 1 : columns * 1j] if planes > 1 else np.ogrid[
        0:1:1j, -1 : 1 : rows * 1j, -1 : 1 : columns * 1j
    ]  # fmt: skip
    places = ((0.0, -0.1, 0.4, 0.28), (0.1, 0.15, -0.4, 0.22))
    return np.stack([
        np.clip(2 * (1 - np.sqrt((z - a) ** 2 * 0.25 + (y - b) ** 2 + (x - c) ** 2) / r), 0, 1)
        for a, b, c, r in places
    ]).astype(np.float32)  # fmt: skip


def results(source: Source) -> Iterator[tuple[str, Document]]:
    """Every result of a source, each with a name: of the segmentations, each type."""
    balls = _balls(*source.size)
    labels = np.zeros(source.size, np.uint8)
    for value, ball in enumerate(balls, 1):
        labels[ball >= 0.5] = value
    edges = [[(axis.min() - 0.5, axis.max() + 0.5) for axis in (labels == value).nonzero()] for value in (1, 2)]
    told, arrays = everything(8, results=[kind.value for kind in ResultKind])
    heat = balls.max(axis=0)
    arrays |= {
        "labels": labels,
        "probabilities": (balls * 255).astype(np.uint8),
        "map": np.where(heat > 0, heat * 8, np.nan).astype(np.float32),
        "boxes": np.array([[first for first, _ in edge] + [last for _, last in edge] for edge in edges], np.float32),
    }
    for kind in _SEG_TYPES:
        only = {**told, "results": {"SEG": {"type": kind}}} if kind != "binary" else told
        for document in _ENCODER.encode(_task(source, f"viewed {_RUN} {source.name} {kind}", only, arrays)).documents:
            yield f"SEG {kind}" if document.kind is ResultKind.SEG else document.kind.value, document
    detected = {**told, "task": "detection", "measurements": [], "classes": [], "map": None, "results": {"SR": {}}}
    only_boxes = {name: arrays[name] for name in ("boxes", "box_labels", "box_scores")}
    (report,) = _ENCODER.encode(_task(source, f"viewed {_RUN} {source.name} boxes", detected, only_boxes)).documents
    yield "SR boxes", report


def _task(source: Source, job: str, told: Mapping[str, Any], arrays: Mapping[str, Any]) -> Task:
    known = {ds.SOPInstanceUID: f"2.25.{1000 + number}" for number, ds in enumerate(source.instances)}
    frames = tuple(FrameName(known[uid], number) for uid, number in source.frames)
    card = ModelCard.from_mapping({**told, "input": {"kind": source.input}})
    result = InferredResult(job, card, frames, Arrays(**arrays), datetime.now(UTC))
    first = source.instances[0]
    back = {pseudonym: uid for uid, pseudonym in known.items()}
    heads, whole = [], {}
    for ds in source.instances:
        file = _saved(ds)
        heads.append(_saved(dcmread(BytesIO(file), stop_before_pixels=True)))
        plain = dcmread(BytesIO(file))
        if plain.file_meta.TransferSyntaxUID.is_compressed:
            plain.decompress()
        whole[ds.SOPInstanceUID] = _saved(plain)
    original = Original(first.StudyInstanceUID, first.SeriesInstanceUID, 1, "", back)
    return Task(result, original, heads, _NAMES, pictures=whole)


def files(source: Source) -> list[bytes]:
    """The files of a source."""
    return [_saved(ds) for ds in source.instances]


def link(edge: str, document: Document) -> str:
    """Where OHIF opens a result."""
    return (
        f"{edge}/viewer/viewer?StudyInstanceUIDs={document.study_instance_uid}"
        f"&initialSeriesInstanceUID={document.series_instance_uid}"
    )


def store(edge: str, files: Sequence[bytes]) -> None:
    """Store files by STOW-RS."""
    for body in data.stow_bodies([data.Instance("", "", "", file) for file in files], 25):
        httpx.post(f"{edge}/dicom-web/studies", content=body, headers={"Content-Type": data.RELATED}, timeout=120)


def look(context: BrowserContext, edge: str, document: Document, picture: Path, wait: float) -> dict[str, Any]:
    """Open a result as its link does; gives what the viewer said."""
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text[:400]) if message.type == "error" else None)
    page.on("pageerror", lambda error: said.append((error.stack or str(error))[:400]))
    page.goto(link(edge, document), wait_until="commit", timeout=120_000)
    _settle(page, wait)
    page.screenshot(path=picture)
    words = page.locator("body").inner_text().split("\n")
    page.close()
    return {"words": [word for word in words if word], "errors": sorted(set(said))}


def _settle(page: Page, wait: float) -> None:
    """Until there is a picture and it does not change any more, or until it has taken long enough."""
    until, before = time.monotonic() + wait, None
    while time.monotonic() < until:
        page.wait_for_timeout(3000)
        shot = np.asarray(Image.open(BytesIO(page.screenshot(clip=_VIEWPORT))).convert("L"))  # type: ignore[arg-type]
        if before is not None and np.count_nonzero(shot > 32) > _DRAWN and (shot == before).all():
            return
        before = shot


def main() -> None:
    """Make, store, look."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--edge", default="http://127.0.0.1:8080")
    options.add_argument("-o", "--out", type=Path, required=True, help="the folder for the pictures")
    options.add_argument("--sources", nargs="+", choices=SOURCES, default=SOURCES)
    options.add_argument("--only", default="", help="only what has this in its name, e.g. 'SEG'")
    options.add_argument("--wait", type=float, default=60, help="seconds that a picture has to come to rest")
    asked = options.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    sample = Path(__file__).parents[1] / "data" / "ct-chest-cmb"
    with tempfile.TemporaryDirectory(prefix="plexus-viewed-") as folder, sync_playwright() as playwright:
        port = asked.edge.rsplit(":", 1)[-1]
        quiet = [*_QUIET, f"--explicitly-allowed-ports={port}"]
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=quiet)
        context = browser.new_context(viewport={"width": 1200, "height": 760})
        for source in sources(sample, Path(folder), asked.sources):
            made = list(results(source))
            store(asked.edge, [*files(source), *(document.data for _, document in made)])
            seen = set()
            for name, document in made:
                title, series = f"{source.name} {name}", document.series_instance_uid
                if asked.only in name and series not in seen:
                    seen.add(series)
                    said = look(context, asked.edge, document, asked.out / f"{title}.png", asked.wait)
                    sys.stdout.write(f"{title} {json.dumps(said, ensure_ascii=False)}\n")
                    sys.stdout.flush()
        browser.close()


if __name__ == "__main__":
    main()
