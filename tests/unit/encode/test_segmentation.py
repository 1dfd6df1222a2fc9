from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import highdicom as hd
import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import SegmentationStorage

from services.encode.adapters.highdicom import HighdicomEncoder
from services.encode.errors import CardMismatch, EncodingFailed, SourceUnusable
from services.encode.model import Kind, Task
from tests.unit.encode.made import (
    AXIAL,
    COLUMNS,
    FRAME_OF_REFERENCE,
    JOB,
    LEFT,
    NAMES,
    OBLIQUE,
    PLANES,
    RIGHT,
    ROWS,
    SERIES,
    SPACING,
    STUDY,
    boxes,
    card,
    header,
    headers,
    original,
    read,
    result,
    sop,
    task,
)


def _seg(made: Task, *, omit_empty_frames: bool = True) -> Any:
    document = HighdicomEncoder(omit_empty_frames=omit_empty_frames).encode(made).documents[0]
    assert document.kind is Kind.SEG
    return hd.seg.Segmentation.from_dataset(read(document))


def _frames(seg: Any) -> list[tuple[int, str]]:
    """Segment and source instance of each frame."""
    return [
        (
            item.SegmentIdentificationSequence[0].ReferencedSegmentNumber,
            item.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID,
        )
        for item in seg.PerFrameFunctionalGroupsSequence
    ]


@pytest.mark.parametrize("orientation", [AXIAL, OBLIQUE, (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0)])
def test_every_voxel_comes_back_where_the_patient_has_it(orientation: Sequence[float]) -> None:
    seg = _seg(task(source=headers(orientation=orientation)))
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    normal = np.cross(row, column)
    volume = seg.get_volume(combine_segments=True)
    for number, box in ((1, LEFT), (2, RIGHT)):
        planes, rows, columns = np.meshgrid(*(np.arange(part.start, part.stop) for part in box), indexing="ij")
        expected = (
            np.array([-50.0, -60.0, 10.0])
            + planes.reshape(-1, 1) * SPACING[0] * normal
            + rows.reshape(-1, 1) * SPACING[1] * column
            + columns.reshape(-1, 1) * SPACING[2] * row
        )
        found = volume.map_indices_to_reference(np.argwhere(volume.array == number))
        assert len(found) == len(expected)
        np.testing.assert_allclose(np.sort(found, axis=0), np.sort(expected, axis=0), atol=1e-3)


def test_every_plane_of_a_segment_names_the_instance_that_it_was_drawn_on() -> None:
    seg = _seg(task())
    numbers = {1: LEFT, 2: RIGHT}
    assert sorted(_frames(seg)) == sorted(
        (number, sop(plane)) for number, box in numbers.items() for plane in range(box[0].start, box[0].stop)
    )
    by_source = seg.get_pixels_by_source_instance([sop(plane) for plane in range(PLANES)], combine_segments=True)
    assert np.array_equal(by_source, boxes())


def test_empty_frames_are_there_when_asked_for() -> None:
    seg = _seg(task(), omit_empty_frames=False)
    assert sorted(_frames(seg)) == sorted((number, sop(plane)) for number in (1, 2) for plane in range(PLANES))
    assert np.array_equal(
        seg.get_pixels_by_source_instance([sop(plane) for plane in range(PLANES)], combine_segments=True), boxes()
    )


def test_all_source_instances_are_referenced_even_those_where_nothing_is() -> None:
    seg = _seg(task())
    (series,) = seg.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == SERIES
    everything = {sop(plane) for plane in range(PLANES)}
    assert {item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence} == everything
    assert {item.ReferencedSOPInstanceUID for item in seg.SourceImageSequence} == everything


def test_a_segment_says_what_it_is_who_drew_it_and_in_which_colour() -> None:
    seg = _seg(task())
    assert (seg.SOPClassUID, seg.SegmentationType, seg.Modality) == (SegmentationStorage, "BINARY", "SEG")
    left, right = seg.SegmentSequence
    assert (left.SegmentNumber, left.SegmentLabel, right.SegmentLabel) == (1, "Left lung", "Right lung")
    assert left.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "91723000"
    assert left.SegmentedPropertyTypeCodeSequence[0].CodeValue == "44029006"
    assert left.SegmentAlgorithmType == "AUTOMATIC"
    (algorithm,) = left.SegmentationAlgorithmIdentificationSequence
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("ct-lung", "1.0.0")
    assert algorithm.AlgorithmFamilyCodeSequence[0].CodeValue == "123110"
    assert left.TrackingID == "Left lung (ct-lung)"
    assert left.TrackingUID != right.TrackingUID
    colour = hd.color.CIELabColor.from_dicom_value(left.RecommendedDisplayCIELabValue)
    assert colour.to_rgb() == pytest.approx((224, 97, 76), abs=1)


def test_the_card_may_name_another_family_of_algorithms() -> None:
    told = card(algorithm_family={"code": "123105", "scheme": "DCM", "meaning": "Morphological Operations"})
    seg = _seg(task(result(told=told)))
    (algorithm,) = seg.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence
    assert algorithm.AlgorithmFamilyCodeSequence[0].CodeValue == "123105"


def test_patient_study_and_frame_of_reference_are_those_of_the_source() -> None:
    seg = _seg(task())
    assert (str(seg.PatientName), seg.PatientID, seg.PatientSex) == ("Müller^Jürgen", "P-4711", "M")
    assert seg.SpecificCharacterSet == "ISO_IR 100"
    assert (seg.StudyInstanceUID, seg.FrameOfReferenceUID) == (STUDY, FRAME_OF_REFERENCE)
    assert (seg.StudyDate, seg.StudyTime, seg.StudyID, seg.AccessionNumber) == ("20250102", "101112", "S1", "A-77")
    assert seg.StudyDescription == "Thorax nativ"
    assert (seg.Rows, seg.Columns) == (ROWS, COLUMNS)
    assert seg.SeriesInstanceUID == NAMES.instance(JOB, Kind.SEG).series_instance_uid


def test_the_series_says_what_made_it_and_which_revision_it_is_of() -> None:
    seg = _seg(task())
    assert seg.SeriesDescription == "Lung segmentation (reference) - ct-lung 1.0.0"
    assert (seg.Manufacturer, seg.ManufacturerModelName) == ("Plexus", "ct-lung")
    assert seg.ContentLabel == "CT_LUNG"
    later = _seg(task(original=original(revision=3)))
    assert later.SeriesDescription.endswith("ct-lung 1.0.0 (revision 3)")
    assert len(later.SeriesDescription) <= 64


def test_the_same_job_makes_the_same_bytes_again() -> None:
    first, second = (HighdicomEncoder(omit_empty_frames=True).encode(task()).documents for _ in range(2))
    assert [document.data for document in first] == [document.data for document in second]


def test_a_label_without_voxels_gets_no_segment() -> None:
    seg = _seg(task(result(boxes(left=0))))
    (only,) = seg.SegmentSequence
    assert (only.SegmentNumber, only.SegmentLabel) == (1, "Right lung")
    assert np.array_equal(seg.get_volume(combine_segments=True).array != 0, boxes(left=0)[2:7] != 0)


def test_nothing_found_makes_no_segmentation() -> None:
    documents = HighdicomEncoder(omit_empty_frames=True).encode(task(result(np.zeros_like(boxes())))).documents
    assert [document.kind for document in documents] == [Kind.SR]


def test_the_time_of_a_document_is_that_of_the_result_in_the_clock_of_the_source() -> None:
    seg = _seg(task(source=headers(TimezoneOffsetFromUTC="+0530")))
    assert seg.TimezoneOffsetFromUTC == "+0530"
    for date, time in (("ContentDate", "ContentTime"), ("SeriesDate", "SeriesTime")):
        assert (seg[date].value, seg[time].value) == ("20260102", "083405")
    assert (seg.InstanceCreationDate, seg.InstanceCreationTime) == ("20260102", "083405")


def test_odd_values_of_the_sender_are_kept_as_they_are() -> None:
    seg = _seg(task(source=headers(PatientSex="W", PatientBirthDate="1950", StudyTime="99")))
    assert (seg.PatientSex, seg["PatientBirthDate"].value, seg["StudyTime"].value) == ("W", "1950", "99")


def test_attributes_that_the_source_should_have_but_has_not_stay_empty() -> None:
    missing = dict.fromkeys(
        ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
         "StudyTime", "ReferringPhysicianName", "SpecificCharacterSet", "SliceThickness", "PositionReferenceIndicator")
    )  # fmt: skip
    seg = _seg(task(source=headers(**missing)))
    assert seg.PatientID in (None, "")
    assert "SpecificCharacterSet" not in seg
    assert seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SliceThickness == SPACING[0]


def test_the_distance_between_planes_is_that_of_their_positions_whatever_the_header_says() -> None:
    seg = _seg(task(source=headers(SpacingBetweenSlices="7")))
    (measures,) = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    assert measures.SpacingBetweenSlices == pytest.approx(SPACING[0])


@pytest.mark.parametrize("charset", [["", "ISO 2022 IR 87"], "ISO_IR 192", "GB18030"])
def test_names_in_other_scripts_come_back_as_they_were(charset: Any) -> None:
    name = "Yamada^Tarou=山田^太郎"
    seg = _seg(task(source=headers(SpecificCharacterSet=charset, PatientName=name)))
    assert str(seg.PatientName) == name
    assert seg.SpecificCharacterSet == charset


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"FrameOfReferenceUID": None}, "FrameOfReferenceUID"),
        ({"ImagePositionPatient": None}, "ImagePositionPatient"),
        ({"SeriesInstanceUID": "1.2.3"}, "not of the job's series"),
    ],
)
def test_a_source_that_cannot_carry_a_result_is_refused(changed: dict[str, Any], why: str) -> None:
    with pytest.raises(SourceUnusable, match=why):
        HighdicomEncoder(omit_empty_frames=True).encode(task(source=headers(**changed)))


def test_a_source_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(SourceUnusable, match="cannot be read"):
        HighdicomEncoder(omit_empty_frames=True).encode(task(source=[b"nothing"] * PLANES))


def test_a_source_with_two_frames_of_reference_is_refused() -> None:
    source = [*headers()[:-1], header(PLANES - 1, FrameOfReferenceUID="1.2.9")]
    with pytest.raises(SourceUnusable, match="more than one"):
        HighdicomEncoder(omit_empty_frames=True).encode(task(source=source))


def test_a_label_map_of_another_size_than_the_source_is_refused() -> None:
    with pytest.raises(CardMismatch, match="another size"):
        HighdicomEncoder(omit_empty_frames=True).encode(task(source=headers(Rows=ROWS + 1)))


def test_what_highdicom_refuses_is_told_without_its_words() -> None:
    secret = "Geheim"
    source = headers(ImageOrientationPatient=["1", "0", "0", "0", "0", "0"], PatientID=secret, PixelSpacing=["0", "0"])
    with pytest.raises(EncodingFailed) as refused:
        HighdicomEncoder(omit_empty_frames=True).encode(task(source=source))
    assert secret not in str(refused.value)


def test_a_dataset_of_ours_has_no_private_or_group_length_elements() -> None:
    seg: Dataset = _seg(task())
    assert not [element for element in seg if element.tag.is_private or element.tag.elem == 0]
