"""What a result becomes: segmentations of each type, images, qualitative findings, pages; and what is refused."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import highdicom as hd
import numpy as np
import pytest

from services.contracts.card import ModelCard
from services.encode.adapters.highdicom import HighdicomEncoder
from services.encode.adapters.npz import unpack
from services.encode.errors import CardMismatch, OptionsUnusable, ResultDamaged
from services.encode.model import Document, Kind
from services.encode.plan import kinds_of, pictures_of
from services.encode.result import FrameName
from tests.unit.encode.kinds import SOURCES, ct, everything
from tests.unit.encode.made import (
    COLUMNS,
    JOB,
    MADE_AT,
    PLANES,
    ROWS,
    boxes,
    card,
    inferred,
    measured,
    original,
    pseudonym,
    read,
    said,
    sop,
    task,
)

ENCODER = HighdicomEncoder(omit_empty_frames=True)


def _groups(document: Document) -> Any:
    content: Any = hd.sr.Comprehensive3DSR.from_dataset(read(document)).content
    return content.get_image_measurement_groups()


def _documents(told: dict[str, Any], source: str = "CT volume", **arrays: Any) -> tuple[Document, ...]:
    return ENCODER.encode(SOURCES[source]().task(told, **arrays)).documents


def _of(documents: tuple[Document, ...], kind: Kind) -> Any:
    return read(next(document for document in documents if document.kind is kind))


def _likely() -> np.ndarray:
    return np.stack([np.where(boxes() == value, 100 * value, 3).astype(np.uint8) for value in (1, 2)])


def test_probabilities_become_a_fractional_segmentation_to_the_last_step() -> None:
    told = card(results={"SEG": {"type": "fractional"}})
    seg = _of(_documents(told, labels=boxes(), probabilities=_likely(), measurements=measured()), Kind.SEG)
    assert (seg.SegmentationType, seg.SegmentationFractionalType) == ("FRACTIONAL", "PROBABILITY")
    assert seg.MaximumFractionalValue == 255
    frames = hd.seg.Segmentation.from_dataset(seg).get_pixels_by_source_instance(
        [sop(plane) for plane in range(PLANES)], rescale_fractional=False
    )
    assert np.array_equal(np.moveaxis(frames, -1, 0), _likely())


def test_probabilities_alone_count_from_one_half() -> None:
    documents = _documents(card(measurements=[]), probabilities=_likely())
    seg = _of(documents, Kind.SEG)
    assert seg.SegmentationType == "BINARY", "viewers hardly show fractional ones"
    (only,) = seg.SegmentSequence
    assert only.SegmentLabel == "Right lung"  # 200 of 255; the left one's 100 are less than a half
    frames = hd.seg.Segmentation.from_dataset(seg).get_pixels_by_source_instance(
        [sop(plane) for plane in range(PLANES)]
    )
    assert np.array_equal(frames[..., 0], boxes() == 2)


def test_what_is_likely_may_overlap() -> None:
    both = np.stack([np.full((PLANES, ROWS, COLUMNS), 128, np.uint8)] * 2)
    seg = _of(_documents(card(measurements=[]), probabilities=both), Kind.SEG)
    assert (seg.NumberOfFrames, seg.SegmentsOverlap) == (2 * PLANES, "YES")


def test_300_labels_become_a_label_map() -> None:
    one = card()["labels"][0]
    told = card(labels=[{**one, "value": value, "name": f"Part {value}"} for value in range(1, 301)], measurements=[])
    labels = (np.arange(PLANES * ROWS * COLUMNS) % 301).astype(np.uint16).reshape(PLANES, ROWS, COLUMNS)
    seg = _of(_documents(told, labels=labels), Kind.SEG)
    assert (seg.SOPClassUID, seg.BitsAllocated) == ("1.2.840.10008.5.1.4.1.1.66.7", 16)
    drawn = hd.seg.Segmentation.from_dataset(seg).get_pixels_by_source_instance(
        [sop(plane) for plane in range(PLANES)], combine_segments=True
    )
    assert np.array_equal(drawn, labels)


def test_the_card_may_ask_for_a_label_map_and_for_empty_frames() -> None:
    told = card(results={"SEG": {"type": "labelmap", "omit_empty_frames": False}})
    seg = _of(_documents(told, labels=boxes(), measurements=measured()), Kind.SEG)
    assert (seg.SegmentationType, seg.NumberOfFrames) == ("LABELMAP", PLANES)
    assert [item.SegmentNumber for item in seg.SegmentSequence] == [1, 2, 0], "viewers colour by place"


@pytest.mark.parametrize(("kind", "fault"), [("cube", OptionsUnusable), ("fractional", CardMismatch)])
def test_a_segmentation_that_cannot_be_is_refused(kind: str, fault: type[Exception]) -> None:
    with pytest.raises(fault, match=r"SEG|segmentation"):
        _documents(card(results={"SEG": {"type": kind}}), labels=boxes(), measurements=measured())


@pytest.mark.parametrize("kinds", [["SEG"], ["STL", "GSPS", "KO"]])
def test_nothing_found_is_told_by_a_report_even_when_none_was_asked_for(kinds: list[str]) -> None:
    told = card(results={kind: {} for kind in kinds})
    (only,) = _documents(told, labels=np.zeros_like(boxes()), measurements=np.full((2, 2), np.nan, np.float32))
    assert only.kind is Kind.SR


def test_no_box_is_a_finding_that_is_absent() -> None:
    told = card(task="detection", measurements=[])
    none = {"boxes": np.empty((0, 6), np.float32), "box_labels": np.empty(0, np.uint16)}
    (only,) = _documents(told, "CR", **none, box_scores=np.empty(0, np.float32))
    groups = _groups(only)
    assert [item.value.meaning for group in groups for item in group.get_qualitative_evaluations()].count("Absent") == 2


def test_classes_are_present_or_absent_with_their_certainty() -> None:
    told, arrays = everything(1)
    told = {**told, "task": "classification", "labels": [], "measurements": [], "map": None}
    (only,) = _documents(told, "CR", classes=arrays["classes"])
    (group,) = _groups(only)
    assert group.finding_type.meaning == "Pneumonia"
    assert [(item.name.value, item.value, item.unit.value) for item in group.get_measurements()] == [
        ("111012", 87.5, "%")
    ]
    assert "Present" in [item.value.meaning for item in group.get_qualitative_evaluations()]


def test_a_measurement_of_the_whole_input_has_its_unit_and_its_method() -> None:
    told = card(task="measurement", labels=[])
    told["measurements"] = [
        {**told["measurements"][0], "method": {"code": "126030", "scheme": "DCM", "meaning": "Sum"}}
    ]
    (only,) = _documents(told, "CR", measurements=np.array([[12.5]], np.float32))
    (group,) = _groups(only)
    (volume,) = group.get_measurements()
    assert (volume.name.meaning, volume.value, volume.unit.value) == ("Volume", 12.5, "mL")
    assert "126030" in str(volume)


def test_an_image_becomes_captures_at_the_place_of_its_planes() -> None:
    image = (np.arange(PLANES * ROWS * COLUMNS) * 7).astype(np.uint16).reshape(PLANES, ROWS, COLUMNS)
    told = card(task="image-to-image", labels=[], measurements=[])
    documents = _documents(told, image=image)
    assert [document.kind for document in documents] == [*[Kind.SC] * PLANES, Kind.SR]
    for plane, document in enumerate(documents[:-1]):
        ds = read(document)
        assert np.array_equal(ds.pixel_array, image[plane])
        assert ds.SourceImageSequence[0].ReferencedSOPInstanceUID == sop(plane)
        assert ds.ImagePositionPatient == pytest.approx([-50, -60, 10 + 2.5 * plane])
        assert (ds.InstanceNumber, ds.BurnedInAnnotation) == (plane + 1, "NO")


def test_a_map_has_its_quantity_and_its_unit() -> None:
    told, arrays = everything(PLANES)
    told = {**told, "labels": [], "classes": [], "measurements": [], "task": "image-to-image"}
    only, _ = _documents(told, map=arrays["map"])
    pm = read(only)
    (mapping,) = pm.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "g/ml{SUVbw}"
    assert mapping.QuantityDefinitionSequence[0].ConceptCodeSequence[0].CodeValue == "126401"
    values = hd.pm.ParametricMap.from_dataset(pm).get_volume(apply_real_world_transform=False).array
    assert (values == np.float32(pm.FloatPixelPaddingValue)).sum() == np.isnan(arrays["map"]).sum()
    assert (values == 3).sum() == (boxes() == 2).sum()


@pytest.mark.parametrize("source", ["CT volume", "CR"])
def test_a_report_leads_to_a_map_or_an_image_that_is_all_that_there_is(source: str) -> None:
    planes = len(SOURCES[source]().frames)
    told, arrays = everything(planes)
    told = {**told, "labels": [], "classes": [], "measurements": [], "task": "image-to-image"}
    for answer in ({"map": arrays["map"]}, {"image": arrays["labels"]}):
        documents = _documents({**told, "map": told["map"] if "map" in answer else None}, source, **answer)
        *made, report = documents
        (group,) = _groups(report)
        items = group[0].ContentSequence
        named = [item.referenced_sop_instance_uid for item in items if item.value_type.value == "IMAGE"]
        assert named == [document.sop_instance_uid for document in made]
        assert any(item.name.meaning == "Algorithm Name" and item.value == "ct-lung" for item in items)


def test_a_key_object_names_the_slice_with_most_of_it() -> None:
    told = card(results={"KO": {}})
    ko = _of(_documents(told, labels=boxes(), measurements=measured()), Kind.KO)
    (study,) = ko.CurrentRequestedProcedureEvidenceSequence
    named = [item.ReferencedSOPInstanceUID for item in study.ReferencedSeriesSequence[0].ReferencedSOPSequence]
    assert named == [sop(1), sop(2)]  # the first plane of each box: all are alike


def test_pictures_are_asked_for_only_when_somebody_sees_them() -> None:
    arrays: dict[str, Any] = {"labels": boxes(), "measurements": measured()}
    assert pictures_of(said(card(), PLANES, **arrays)) == ()
    assert pictures_of(said(card(results={"PDF": {}}), PLANES, **arrays)) == (1, 2)
    nothing = {**arrays, "labels": np.zeros_like(boxes())}
    assert pictures_of(said(card(results={"SC": {}}), PLANES, **nothing)) == (PLANES // 2,)


def test_kinds_go_by_what_the_model_said() -> None:
    told, arrays = everything(PLANES)
    assert list(kinds_of(said(told, PLANES, **arrays))) == [Kind.SEG, Kind.PM, Kind.SR]
    flat = {**told, "input": {"kind": "frames"}}
    assert list(kinds_of(said(flat, PLANES, **arrays))) == [Kind.SEG, Kind.SC, Kind.SR]
    asked = card(results={"pdf": {}, "sr": {}})
    made = said(asked, PLANES, labels=boxes(), measurements=measured())
    assert list(kinds_of(made)) == [Kind.PDF, Kind.SR]


def test_a_finding_keeps_its_tracking_identifier_over_revisions_of_its_series() -> None:
    def tracked(job: str, **changed: Any) -> list[str]:
        made = ct().task(card(), labels=boxes(), measurements=measured())
        again = type(made.result)(job, made.result.card, made.result.frames, made.result.arrays, MADE_AT)
        documents = ENCODER.encode(task(again, made.headers, original=original(**changed))).documents
        return [item.TrackingUID for item in _of(documents, Kind.SEG).SegmentSequence]

    first, second = tracked("job-1"), tracked("job-2", revision=2, supersedes="job-1")
    assert first == second
    assert len(set(first)) == 2


# The result file, schema 2.


def _file(told: dict[str, Any], frames: list[Any], **arrays: Any) -> bytes:
    meta = {
        "schema": 2, "job_id": JOB, "model": "ct-lung", "model_version": "1.0.0", "card": told, "frames": frames,
        "spacing": [1, 1, 1], "direction": [1, 0, 0, 0, 1, 0, 0, 0, 1], "origin": None, "compute": {},
    }  # fmt: skip
    file = BytesIO()
    np.savez_compressed(file, **arrays, meta=np.frombuffer(json.dumps(meta).encode(), np.uint8))
    return file.getvalue()


def test_a_result_of_schema_2_names_frames_and_has_what_it_has() -> None:
    told, arrays = everything(2)
    data = _file(told, [[pseudonym(0), 1], [pseudonym(0), 2]], **arrays)
    made = unpack(inferred(data), data, MADE_AT, max_bytes=1 << 20)
    assert made.frames == (FrameName(pseudonym(0), 1), FrameName(pseudonym(0), 2))
    assert made.shape == (2, ROWS, COLUMNS)
    assert made.arrays.image is None
    assert ModelCard.from_mapping(told).classes == made.card.classes


_TWO = [[pseudonym(0), 1], [pseudonym(0), 2]]


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"labels": np.zeros((2, ROWS), np.uint8)}, ResultDamaged),
        ({"labels": np.zeros((2, ROWS, COLUMNS), np.int32)}, ResultDamaged),
        ({"labels": np.zeros((3, ROWS, COLUMNS), np.uint8)}, ResultDamaged),
        ({"labels": None, "probabilities": None}, CardMismatch),
        ({"probabilities": np.zeros((1, 2, ROWS, COLUMNS), np.uint8)}, CardMismatch),
        ({"measurements": None}, CardMismatch),
        ({"map": np.full((2, ROWS, COLUMNS), np.inf, np.float32)}, ResultDamaged),
        ({"map": None}, CardMismatch),
        ({"classes": np.array([np.nan], np.float32)}, CardMismatch),
        ({"classes": np.array([0.1, 0.2], np.float32)}, CardMismatch),
        ({"classes": np.array([1.5], np.float32)}, CardMismatch),
        ({"boxes": None}, ResultDamaged),
        ({"box_labels": np.array([1, 9], np.uint16)}, CardMismatch),
        ({"box_scores": np.array([0.1, np.nan], np.float32)}, ResultDamaged),
        ({"box_scores": np.array([0.1], np.float32)}, ResultDamaged),
        ({"boxes": np.array([[0, 0, 0, 1, 1, 99], [0, 0, 0, 1, 1, 1]], np.float32)}, ResultDamaged),
        ({"boxes": np.array([[1, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1]], np.float32)}, ResultDamaged),
        ({"boxes": np.full((2, 6), np.nan, np.float32)}, ResultDamaged),
        ({"image": np.zeros((2, ROWS, COLUMNS, 3), np.uint16)}, ResultDamaged),
        ({"image": np.zeros((2, ROWS, COLUMNS, 4), np.uint8)}, ResultDamaged),
        ({"image": np.zeros((2, 1, 1), np.uint8)}, ResultDamaged),
        ({"measurements": np.zeros((1, 2), np.float32)}, CardMismatch),
    ],
)
def test_a_value_that_leaves_its_promise_is_refused(changed: dict[str, Any], fault: type[Exception]) -> None:
    told, arrays = everything(2)
    kept = {name: array for name, array in {**arrays, **changed}.items() if array is not None}
    data = _file(told, _TWO, **kept)
    with pytest.raises(fault):
        unpack(inferred(data), data, MADE_AT, max_bytes=1 << 20)


@pytest.mark.parametrize(
    "frames", [[], [["2.25.1", 0], ["2.25.1", 1]], [["2.25.1"], ["2.25.2"]], [_TWO[0]] * 2, [1, 2]]
)
def test_frames_that_are_none_are_refused(frames: list[Any]) -> None:
    told, arrays = everything(2)
    data = _file(told, frames, **arrays)
    with pytest.raises(ResultDamaged):
        unpack(inferred(data), data, MADE_AT, max_bytes=1 << 20)
