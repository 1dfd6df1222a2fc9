"""Each result type from each kind of source: legal, with references that resolve, where the patient has it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset

from services.contracts.card import ResultKind
from services.encode.adapters.highdicom import HighdicomEncoder
from services.encode.model import Document, Kind
from services.encode.plan import SOP_CLASSES
from services.encode.surface import surface_of
from tests.unit.encode.kinds import SOURCES, Source, ct, enhanced, everything
from tests.unit.encode.made import (
    AXIAL,
    LEFT,
    NAMES,
    OBLIQUE,
    PLANES,
    SERIES,
    SPACING,
    STUDY,
    boxes,
    card,
    pseudonym,
    read,
)
from tests.unit.encode.test_dciodvfy import NEEDED

ALL = [kind.value for kind in ResultKind]
ENCODER = HighdicomEncoder(omit_empty_frames=True)
EXPECTED = {
    "CT volume": {"SEG": 1, "PM": 1, "SC": 3, "GSPS": 1, "BLEND": 1, "STL": 2, "KO": 1, "PDF": 1, "SR": 1},
    "enhanced CT": {"SEG": 1, "PM": 1, "SC": 3, "GSPS": 1, "BLEND": 1, "STL": 2, "KO": 1, "PDF": 1, "SR": 1},
    "CR": {"SEG": 1, "SC": 1, "GSPS": 1, "KO": 1, "PDF": 1, "SR": 1},
    "US loop": {"SEG": 1, "SC": 3, "GSPS": 1, "KO": 1, "PDF": 1, "SR": 1},
    "tiled SM": {"SEG": 1, "SC": 2, "KO": 1, "PDF": 1, "SR": 1},
}


@cache
def made(name: str) -> tuple[Source, tuple[Document, ...]]:
    source = SOURCES[name]()
    told, arrays = everything(len(source.frames), results=ALL)
    return source, ENCODER.encode(source.task(told, **arrays)).documents


def one(documents: Sequence[Document], kind: Kind) -> Dataset:
    return read(next(document for document in documents if document.kind is kind))


def references(ds: Dataset) -> Iterator[Dataset]:
    for element in ds:
        if element.VR == "SQ":
            for item in element.value:
                if "ReferencedSOPInstanceUID" in item:
                    yield item
                yield from references(item)


@pytest.mark.parametrize("name", SOURCES)
def test_each_kind_that_a_source_can_carry_is_made_in_a_series_of_its_own(name: str) -> None:
    _, documents = made(name)
    kinds = [document.kind.value for document in documents]
    assert {kind: kinds.count(kind) for kind in kinds} == EXPECTED[name]
    series = {(document.kind, document.series_instance_uid) for document in documents}
    assert len(series) == len(EXPECTED[name]) == len({uid for _, uid in series})
    assert len({document.sop_instance_uid for document in documents}) == len(documents)
    assert {document.study_instance_uid for document in documents} == {STUDY}
    assert all(document.sop_class_uid in SOP_CLASSES[document.kind] for document in documents)
    numbers = {read(document).SeriesNumber for document in documents}
    assert len(numbers) == len(series)


@NEEDED
@pytest.mark.parametrize("name", SOURCES)
def test_dciodvfy_finds_no_error(name: str, tmp_path: Path) -> None:
    assert shutil.which("dciodvfy")
    for number, document in enumerate(made(name)[1]):
        path = tmp_path / f"{number}.dcm"
        path.write_bytes(document.data)
        told = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False).stderr.splitlines()
        assert [line for line in told if not line.startswith(("Warning", "Error"))], "it knew the IOD"
        assert [line for line in told if line.startswith("Error")] == [], document.kind


@pytest.mark.parametrize("name", SOURCES)
def test_every_reference_leads_to_the_source_or_to_a_document_of_the_job(name: str) -> None:
    source, documents = made(name)
    task = source.task(card(), measurements=np.zeros((2, 2), np.float32), labels=boxes()[: len(source.frames)])
    known = {str(uid): 0 for uid in task.original.sop_instance_uids.values()}
    ours = {document.sop_instance_uid: document.sop_class_uid for document in documents}
    frames = {uid: {frame.number for frame in source.frames} for uid in known}
    for document in documents:
        frames[document.sop_instance_uid] = set(range(1, int(read(document).get("NumberOfFrames", 0)) + 1))
    for document in documents:
        found = list(references(read(document)))
        assert found
        for item in found:
            uid = item.ReferencedSOPInstanceUID
            assert uid in known or item.ReferencedSOPClassUID == ours[uid]
            told = item.get("ReferencedFrameNumber")
            if told is not None:
                assert set([told] if isinstance(told, int) else told) <= frames[uid]
    report = one(documents, Kind.SR)
    assert set(ours) - {report.SOPInstanceUID} <= {item.ReferencedSOPInstanceUID for item in references(report)}


@pytest.mark.parametrize("name", SOURCES)
def test_every_document_says_that_an_algorithm_made_it_and_nobody_verified_it(name: str) -> None:
    for document in made(name)[1]:
        ds = read(document)
        (model,) = (item for item in ds.ContributingEquipmentSequence if item.Manufacturer == "Plexus")
        assert model.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"
        assert (model.ManufacturerModelName, model.SoftwareVersions) == ("ct-lung", "1.0.0")
        assert model.DeviceUID == NAMES.device("ct-lung", "1.0.0") != NAMES.device("ct-lung", "1.0.1")
        assert "not verified" in model.ContributionDescription
        assert "Job job-1" in model.ContributionDescription
        if document.kind in (Kind.SR, Kind.PDF):
            assert ds.VerificationFlag == "UNVERIFIED"
        if document.kind is Kind.SC:
            assert ds.BurnedInAnnotation == "YES"


def test_the_same_job_makes_the_same_bytes_of_every_kind() -> None:
    for name in ("enhanced CT", "US loop"):
        source, documents = made(name)
        told, arrays = everything(len(source.frames), results=ALL)
        again = ENCODER.encode(source.task(told, **arrays)).documents
        assert [document.data for document in again] == [document.data for document in documents]


# Geometry: a phantom whose corners are known in the patient.

GEOMETRIES = {
    "axial": (lambda: ct(), AXIAL, False),
    "oblique": (lambda: ct(OBLIQUE), OBLIQUE, False),
    "oblique, from the head": (lambda: ct(OBLIQUE, backwards=True), OBLIQUE, True),
    "enhanced, oblique": (lambda: enhanced(OBLIQUE, backwards=False), OBLIQUE, False),
    "enhanced, frames reversed": (lambda: enhanced(OBLIQUE, backwards=True), OBLIQUE, False),
}


def truth(points: NDArray[np.float64], orientation: Sequence[float], *, backwards: bool) -> NDArray[np.float64]:
    """Index coordinates in the patient, written down apart from the code."""
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    plane = (PLANES - 1 - points[:, 0:1]) if backwards else points[:, 0:1]
    origin = np.array([-50.0, -60.0, 10.0])
    along = np.cross(row, column)
    return np.asarray(
        origin + plane * SPACING[0] * along + points[:, 1:2] * SPACING[1] * column + points[:, 2:3] * SPACING[2] * row
    )


def nearest(found: NDArray[np.float64], expected: NDArray[np.float64]) -> float:
    """The greatest distance from an expected point to the nearest that was found, in millimetres."""
    return float(max(np.linalg.norm(found - point, axis=1).min() for point in expected))


@pytest.mark.parametrize("name", GEOMETRIES)
def test_a_phantom_comes_back_at_the_same_place_in_the_patient(name: str) -> None:
    make, orientation, backwards = GEOMETRIES[name]
    source = make()
    told, arrays = everything(PLANES, results=["SEG", "PM", "SC", "STL", "SR"])
    arrays["image"] = arrays["labels"]
    arrays["boxes"] = np.array([[part.start - 0.5 for part in LEFT] + [part.stop - 0.5 for part in LEFT]], np.float32)
    arrays["box_labels"], arrays["box_scores"] = np.array([1], np.uint16), np.array([0.9], np.float32)
    documents = ENCODER.encode(source.task(told, **arrays)).documents
    corners = np.array(np.meshgrid(*((part.start, part.stop - 1) for part in LEFT))).reshape(3, -1).T.astype(float)
    expected = truth(corners, orientation, backwards=backwards)

    seg: Any = hd.seg.Segmentation.from_dataset(one(documents, Kind.SEG))
    volume = seg.get_volume(segment_numbers=[1], combine_segments=True)
    assert nearest(volume.map_indices_to_reference(np.argwhere(volume.array == 1)), expected) < 0.1

    pm: Any = hd.pm.ParametricMap.from_dataset(one(documents, Kind.PM))
    mapped = pm.get_volume(apply_real_world_transform=False)
    assert nearest(mapped.map_indices_to_reference(np.argwhere(mapped.array == 1.5)), expected) < 0.1

    captured = []
    for ds in (read(document) for document in documents if document.kind is Kind.SC):
        rows, columns = np.nonzero(ds.pixel_array == 1)
        along, down = np.split(np.array(ds.ImageOrientationPatient, float), 2)
        vertical, horizontal = ds.PixelSpacing
        at = np.array(ds.ImagePositionPatient, float)
        captured.append(at + rows[:, None] * vertical * down + columns[:, None] * horizontal * along)
    assert nearest(np.concatenate(captured), expected) < 0.1

    stl = one(documents, Kind.STL)
    data = stl.EncapsulatedDocument[: stl.EncapsulatedDocumentLength]
    count = int.from_bytes(data[80:84], "little")
    triangles = np.frombuffer(data[84:], np.dtype([("p", "<f4", (4, 3)), ("a", "<u2")]), count)["p"][:, 1:]
    axes = truth(np.concatenate([np.zeros((1, 3)), np.eye(3)]), orientation, backwards=backwards)
    along = np.linalg.inv(axes[1:] - axes[0])
    placed = (triangles.reshape(-1, 3) - axes[0]) @ along
    for axis, part in enumerate(LEFT):
        assert placed[:, axis].min() == pytest.approx(part.start - 0.5, abs=0.03)
        assert placed[:, axis].max() == pytest.approx(part.stop - 0.5, abs=0.03)
    enclosed = np.linalg.det(triangles.astype(float)).sum() / 6
    assert enclosed > 0, "the triangles look outward"
    assert enclosed == pytest.approx(float(np.prod(SPACING)) * 4 * 6 * 8, rel=0.15)

    report: Any = hd.sr.Comprehensive3DSR.from_dataset(one(documents, Kind.SR))
    groups = report.content.get_volumetric_roi_measurement_groups(graphic_type=hd.sr.GraphicTypeValues3D.POLYGON)
    drawn = np.concatenate([item.value for item in groups[0].roi if item.ValueType == "SCOORD3D"])
    ends = [(LEFT[0].start, LEFT[0].stop - 1), *((part.start - 0.5, part.stop - 0.5) for part in LEFT[1:])]
    edges = np.array(np.meshgrid(*ends)).reshape(3, -1).T.astype(float)
    assert nearest(drawn, truth(edges, orientation, backwards=backwards)) < 0.1


def test_a_frame_of_an_enhanced_source_is_named_by_its_number() -> None:
    seg = one(made("enhanced CT")[1], Kind.SEG)
    named = {
        item.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber
        for item in seg.PerFrameFunctionalGroupsSequence
        if item.SegmentIdentificationSequence[0].ReferencedSegmentNumber == 1
    }
    assert named == {PLANES - plane for plane in range(LEFT[0].start, LEFT[0].stop)}


def test_frames_over_time_are_told_apart_by_time_and_have_no_place() -> None:
    seg = one(made("US loop")[1], Kind.SEG)
    assert "FrameOfReferenceUID" not in seg
    for item in seg.PerFrameFunctionalGroupsSequence:
        assert "PlanePositionSequence" not in item
        content = item.FrameContentSequence[0]
        assert content.TemporalPositionIndex == content.DimensionIndexValues[-1]


def test_a_box_on_a_projection_is_on_its_pixels() -> None:
    source = SOURCES["CR"]()
    told, arrays = everything(1, results=["SR", "GSPS"])
    arrays["boxes"] = np.array([[-0.5, 2.5, 3.5, 0.5, 8.5, 9.5]], np.float32)
    arrays["box_labels"], arrays["box_scores"] = np.array([1], np.uint16), np.array([0.5], np.float32)
    documents = ENCODER.encode(source.task(told, **arrays)).documents
    report: Any = hd.sr.Comprehensive3DSR.from_dataset(one(documents, Kind.SR))
    (group,) = report.content.get_planar_roi_measurement_groups()
    outline = [[4, 3], [10, 3], [10, 9], [4, 9], [4, 3]]
    assert group.roi.value.tolist() == outline
    (certain,) = group.get_measurements()
    assert (certain.name.value, certain.value, certain.unit.value) == ("111012", 50, "%")
    state = one(documents, Kind.GSPS)
    drawn = [graphic.GraphicData for item in state.GraphicAnnotationSequence for graphic in item.GraphicObjectSequence]
    assert np.array(outline, float).ravel().tolist() in [list(data) for data in drawn]


def test_a_surface_is_closed() -> None:
    rng = np.random.default_rng(0)
    triangles = surface_of(rng.random((6, 7, 8)) > 0.5)
    edges: dict[tuple[Any, ...], int] = {}
    for triangle in triangles.tolist():
        a, b, c = (tuple(round(value, 4) for value in corner) for corner in triangle)
        for edge in ((a, b), (b, c), (c, a)):
            edges[edge] = edges.get(edge, 0) + 1
            edges[edge[::-1]] = edges.get(edge[::-1], 0) - 1
    assert not any(edges.values()), "each edge is walked as often one way as the other"
    assert len(surface_of(np.zeros((2, 2, 2), bool))) == 0


def test_a_plane_of_a_frame_that_the_source_has_not_is_refused() -> None:
    from services.encode.errors import CardMismatch
    from services.encode.result import FrameName

    source = SOURCES["enhanced CT"]()
    beyond = Source(source.files, [FrameName(pseudonym(0), PLANES + 1)], "volume")
    with pytest.raises(CardMismatch, match="does not have"):
        ENCODER.encode(beyond.task(card(), labels=boxes()[:1], measurements=np.zeros((2, 2), np.float32)))


def test_the_series_that_documents_come_from_is_that_of_the_source() -> None:
    for name in SOURCES:
        seg = one(made(name)[1], Kind.SEG)
        assert [item.SeriesInstanceUID for item in seg.ReferencedSeriesSequence] == [SERIES]
