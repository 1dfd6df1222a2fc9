"""Each type of segmentation of each kind of source: legal, and every voxel on the frame that it was drawn on."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import highdicom as hd
import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.pixels.utils import unpack_bits

from services.encode.adapters.highdicom import HighdicomEncoder
from services.encode.errors import SourceUnusable
from services.encode.model import Kind
from tests.unit.encode.kinds import SOURCES, Source, angiography, ct, each_frame_of_its_own, enhanced, everything
from tests.unit.encode.made import COLUMNS, OBLIQUE, ROWS, SERIES, read
from tests.unit.encode.test_dciodvfy import NEEDED

ENCODER = HighdicomEncoder(omit_empty_frames=True)
TYPES = ("binary", "fractional", "labelmap")
SLIDE = (2, 3)
"""Tiles of the test's slide, down and across."""


@cache
def made(name: str, kind: str, *, omit: bool) -> tuple[Source, dict[str, Any], Dataset]:
    source = SOURCES[name]()
    told, arrays = everything(len(source.frames))
    told["results"] = {"SEG": {"type": kind, "omit_empty_frames": omit}}
    (document,) = ENCODER.encode(source.task(told, **arrays)).documents
    return source, arrays, read(document)


def drawn(seg: Dataset) -> dict[tuple[str, int, int], Any]:
    """The values of each frame by the source instance and frame that it names, and by its segment (0: label map)."""
    size = (seg.NumberOfFrames, seg.Rows, seg.Columns)
    if seg.BitsAllocated == 1:
        values = unpack_bits(seg.PixelData)[: int(np.prod(size))].reshape(size)
    else:
        values = np.frombuffer(seg.PixelData, np.uint8)[: int(np.prod(size))].reshape(size)
    found = {}
    for frame, groups in zip(values, seg.PerFrameFunctionalGroupsSequence, strict=True):
        (item,) = groups.DerivationImageSequence[0].SourceImageSequence
        segment = groups.get("SegmentIdentificationSequence")
        number = segment[0].ReferencedSegmentNumber if segment else 0
        found[item.ReferencedSOPInstanceUID, item.get("ReferencedFrameNumber", 1), number] = frame
    assert len(found) == seg.NumberOfFrames
    return found


@pytest.mark.parametrize("omit", [True, False], ids=["without empty frames", "with empty frames"])
@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("name", SOURCES)
def test_every_voxel_is_on_the_frame_that_it_was_drawn_on(name: str, kind: str, omit: bool) -> None:
    source, arrays, seg = made(name, kind, omit=omit)
    frames = drawn(seg)
    assert (seg.Rows, seg.Columns) == (ROWS, COLUMNS)
    back = source.task(everything(len(source.frames))[0], **arrays).original.sop_instance_uids
    names = [(back[frame.sop_instance_uid], frame.number) for frame in source.frames]
    for plane, (uid, number) in enumerate(names):
        labels = arrays["labels"][plane]
        for segment in [0] if kind == "labelmap" else [1, 2]:
            due = {
                "labelmap": labels,
                "binary": (labels == segment).astype(np.uint8),
                "fractional": arrays["probabilities"][segment - 1, plane],
            }[kind]
            if due.any() or not omit:
                np.testing.assert_array_equal(frames.pop((uid, number, segment)), due)
    assert not frames, "and no other"


@NEEDED
@pytest.mark.parametrize("omit", [True, False], ids=["without empty frames", "with empty frames"])
@pytest.mark.parametrize("kind", TYPES[:2])
@pytest.mark.parametrize("name", SOURCES)
def test_dciodvfy_finds_no_error(name: str, kind: str, omit: bool, tmp_path: Path) -> None:
    """Label maps are newer than it is."""
    path = tmp_path / "seg.dcm"
    made(name, kind, omit=omit)[2].save_as(path)
    told = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False).stderr.splitlines()
    assert told[0] == "Segmentation"
    assert [line for line in told if line.startswith("Error")] == []


@pytest.mark.parametrize("kind", TYPES)
def test_the_tiles_of_a_slide_lie_where_the_slide_has_them(kind: str) -> None:
    _, arrays, seg = made("tiled SM", kind, omit=True)
    whole: Any = hd.seg.Segmentation.from_dataset(seg)
    found = whole.get_total_pixel_matrix(combine_segments=kind != "fractional", rescale_fractional=False)
    due = arrays["probabilities"] if kind == "fractional" else arrays["labels"][None]
    tiles = due.reshape(len(due), *SLIDE, ROWS, COLUMNS).swapaxes(2, 3)
    matrix = tiles.reshape(len(due), SLIDE[0] * ROWS, SLIDE[1] * COLUMNS)
    np.testing.assert_array_equal(found if kind != "fractional" else np.moveaxis(found, -1, 0), matrix.squeeze())


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("name", ["CR", "tiled SM"])
def test_a_region_on_a_picture_is_planar_and_names_the_frames_or_the_segment(name: str, kind: str) -> None:
    source = SOURCES[name]()
    told, arrays = everything(len(source.frames))
    told["results"] = {"SEG": {"type": kind}, "SR": {}}
    seg, report = (read(one) for one in ENCODER.encode(source.task(told, **arrays)).documents)
    content: Any = hd.sr.Comprehensive3DSR.from_dataset(report).content
    groups = [one for one in content.get_planar_roi_measurement_groups() if one.reference_type.value == "121214"]
    assert not content.get_volumetric_roi_measurement_groups()
    assert [one.finding_type.meaning for one in groups] == ["Left lung", "Right lung"]
    for number, group in enumerate(groups, 1):
        image, drawn_on = (item.ReferencedSOPSequence[0] for item in group.referenced_segmentation_frame)
        assert image.ReferencedSOPInstanceUID == seg.SOPInstanceUID
        if kind == "labelmap":
            assert (image.ReferencedSegmentNumber, image.get("ReferencedFrameNumber")) == (number, None)
            continue
        assert "ReferencedSegmentNumber" not in image
        named = np.atleast_1d(image.ReferencedFrameNumber).tolist()
        of_segment = [frame for _, frame, segment in drawn(seg) if segment == number]
        segments = [one.SegmentIdentificationSequence[0].ReferencedSegmentNumber
                    for one in seg.PerFrameFunctionalGroupsSequence]  # fmt: skip
        assert {segments[frame - 1] for frame in named} == {number}
        if name == "tiled SM":
            assert np.atleast_1d(drawn_on.ReferencedFrameNumber).tolist() == of_segment
        else:
            assert "ReferencedFrameNumber" not in drawn_on


def test_a_slide_whose_converter_left_its_optical_path_out_has_its_segmentation() -> None:
    source = SOURCES["tiled SM"]()
    ds = dcmread(BytesIO(source.files[0]))
    del ds.OpticalPathSequence, ds.NumberOfOpticalPaths
    file = BytesIO()
    ds.save_as(file, enforce_file_format=True)
    told, arrays = everything(len(source.frames))
    told["results"] = {"SEG": {}}
    (document,) = ENCODER.encode(replace(source, files=[file.getvalue()]).task(told, **arrays)).documents
    assert document.kind is Kind.SEG


def test_a_slide_that_does_not_say_where_its_tiles_lie_is_refused_by_name() -> None:
    source = SOURCES["tiled SM"]()
    ds = dcmread(BytesIO(source.files[0]))
    del ds.TotalPixelMatrixOriginSequence
    file = BytesIO()
    ds.save_as(file, enforce_file_format=True)
    told, arrays = everything(len(source.frames))
    with pytest.raises(SourceUnusable, match="lack TotalPixelMatrixOriginSequence"):
        ENCODER.encode(replace(source, files=[file.getvalue()]).task(told, **arrays))


OUTLINED = {
    "CT": lambda: ct(),
    "oblique, from the head": lambda: ct(OBLIQUE, backwards=True),
    "enhanced, frames reversed": lambda: enhanced(OBLIQUE, backwards=True),
    "enhanced, each frame of its own": lambda: each_frame_of_its_own(enhanced(OBLIQUE, backwards=True)),
    "CR": SOURCES["CR"],
    "XA run": angiography,
    "US loop": SOURCES["US loop"],
}


@pytest.mark.parametrize("name", OUTLINED)
def test_outlines_of_a_presentation_state_enclose_the_labels_on_their_own_images(name: str) -> None:
    source = OUTLINED[name]()
    told, arrays = everything(len(source.frames), results=["GSPS"])
    arrays = {key: value for key, value in arrays.items() if not key.startswith("box")}
    task = source.task(told, **arrays)
    documents = ENCODER.encode(task).documents
    assert {one.kind for one in documents} == {Kind.GSPS}
    states = list(map(read, documents))
    assert len(states) == (6 if name == "enhanced, each frame of its own" else 1), "one for each rescale"
    found = {}
    for annotation in (one for state in states for one in state.GraphicAnnotationSequence):
        (image,) = annotation.ReferencedImageSequence
        mask = np.zeros((ROWS, COLUMNS), np.uint8)
        for graphic in annotation.GraphicObjectSequence:
            # A pixel's centre is half a pixel from its edge (PS3.3 C.10.5.1.2).
            points = np.array(graphic.GraphicData).reshape(-1, 2) - 0.5
            cv2.fillPoly(mask, [np.round(points).astype(np.int32)], 1)
        found[image.ReferencedSOPInstanceUID, image.get("ReferencedFrameNumber", 1)] = mask
    back = task.original.sop_instance_uids
    for plane, frame in enumerate(source.frames):
        due = (arrays["labels"][plane] > 0).astype(np.uint8)
        if due.any():
            np.testing.assert_array_equal(found.pop((back[frame.sop_instance_uid], frame.number)), due)
    assert not found


@pytest.mark.parametrize("name", ["XA run", "enhanced, each frame of its own", "enhanced, frames reversed"])
def test_a_multi_frame_image_is_shown_by_its_own_rescales_and_windows(name: str, tmp_path: Path) -> None:
    source = OUTLINED[name]()
    told, arrays = everything(len(source.frames), results=["GSPS"])
    for document in ENCODER.encode(source.task(told, **arrays)).documents:
        state = read(document)
        assert ("ModalityLUTSequence" in state) == (name == "XA run")
        (series,) = state.ReferencedSeriesSequence
        (image,) = series.ReferencedImageSequence
        (voi,) = state.SoftcopyVOILUTSequence
        assert (series.SeriesInstanceUID, "ReferencedImageSequence" in voi) == (SERIES, False)
        window = (float(voi.WindowCenter), float(voi.WindowWidth))
        if name == "enhanced, each frame of its own":
            slope = image.ReferencedFrameNumber
            assert (state.RescaleSlope, state.RescaleIntercept, state.RescaleType) == (slope, 0, "US")
            assert window == (2000 * slope, 4000 * slope)
        else:
            assert "ReferencedFrameNumber" not in image
            expected = {"XA run": (None, (700, 1400)), "enhanced, frames reversed": (-1024, (-274, 1500))}
            assert (state.get("RescaleIntercept"), window) == expected[name]
        if shutil.which("dciodvfy"):
            path = tmp_path / "state.dcm"
            path.write_bytes(document.data)
            said = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False).stderr
            assert "Error" not in said


@pytest.mark.parametrize("width", ["0", "-1"])
def test_a_window_without_a_width_is_none(width: str) -> None:
    """As the slices of some MR have: a viewer then takes its own."""
    source = ct(WindowCenter="0", WindowWidth=width)
    told, arrays = everything(len(source.frames), results=["GSPS", "BLEND", "PDF"])
    kinds = {one.kind: read(one) for one in ENCODER.encode(source.task(told, **arrays)).documents}
    assert "SoftcopyVOILUTSequence" not in kinds[Kind.GSPS]
    assert "SoftcopyVOILUTSequence" not in kinds[Kind.BLEND].AdvancedBlendingSequence[0]
    assert kinds[Kind.GSPS].RescaleIntercept == -1024


def test_odd_numbers_and_functions_of_the_sender_make_no_state_impossible() -> None:
    source = ct(WindowCenter="-1024.12345678901", WindowWidth="0.333333333333", VOILUTFunction="SOFT", RescaleType="")
    told, arrays = everything(len(source.frames), results=["GSPS", "BLEND"])
    arrays["map"] = arrays["map"] / np.float32(3) + np.float32(1e-3)
    kinds = {one.kind: read(one) for one in ENCODER.encode(source.task(told, **arrays)).documents}
    for state in (kinds[Kind.GSPS], kinds[Kind.BLEND].AdvancedBlendingSequence[0]):
        (voi,) = state.SoftcopyVOILUTSequence
        assert (float(voi.WindowCenter), "VOILUTFunction" in voi) == (pytest.approx(-1024.12345678901), False)


def test_the_table_of_a_projection_stays_with_its_presentation_state() -> None:
    table = Dataset()
    table.LUTDescriptor, table.LUTExplanation = [4, 0, 16], "NORMAL"
    table.add_new("LUTData", "OW", np.arange(4, dtype="<u2").tobytes())
    source = SOURCES["CR"]()
    ds = dcmread(BytesIO(source.files[0]))
    ds.VOILUTSequence = [table]
    file = BytesIO()
    ds.save_as(file, enforce_file_format=True)
    told, arrays = everything(1, results=["GSPS"])
    (document,) = ENCODER.encode(replace(source, files=[file.getvalue()]).task(told, **arrays)).documents
    assert read(document).SoftcopyVOILUTSequence[0].VOILUTSequence[0].LUTExplanation == "NORMAL"
