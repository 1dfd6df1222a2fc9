from __future__ import annotations

import numpy as np
import pytest

from services.encode.errors import CardMismatch, ResultDamaged
from services.encode.findings import findings_of, segment_planes
from services.encode.model import Kind, Names
from tests.unit.encode.made import NAMES, boxes, card, measured, result


def test_the_same_job_gets_the_same_names_and_another_key_gives_others() -> None:
    assert NAMES.instance("a", Kind.SEG) == Names(NAMES.key).instance("a", Kind.SEG)
    uids = {
        uid
        for names in (NAMES, Names(b"x" * 32))
        for job in ("a", "b")
        for kind in Kind
        for uid in (names.instance(job, kind).series_instance_uid, names.instance(job, kind).sop_instance_uid)
    }
    assert len(uids) == 8 * len(Kind)
    assert all(uid.startswith("2.25.") and len(uid) <= 64 for uid in uids)


def test_the_report_has_the_series_number_after_its_segmentation() -> None:
    seg = NAMES.series_number("a", Kind.SEG)
    assert seg >= 70_000
    assert NAMES.series_number("a", Kind.SR) == seg + 1


def test_the_serial_number_does_not_tell_the_key() -> None:
    assert NAMES.key.hex()[:16] != NAMES.serial
    assert len(NAMES.serial) == 16


def test_each_label_has_its_voxels_its_segment_and_what_was_measured() -> None:
    left, right = findings_of(result())
    assert (left.number, right.number) == (1, 2)
    assert (left.voxels, right.voxels) == (4 * 6 * 8, 5 * 7 * 7)
    assert [(item.name, value) for item, value in left.measured] == [("volume", 2011.5), ("mean attenuation", -812.25)]
    assert [(item.name, value) for item, value in right.measured] == [("volume", 2380.125)]


def test_a_label_without_voxels_has_no_segment_and_the_others_move_up() -> None:
    left, right = findings_of(result(boxes(left=0)))
    assert (left.number, left.voxels) == (None, 0)
    assert right.number == 1


def test_a_measurement_is_told_to_the_digits_that_the_model_gave() -> None:
    left, _ = findings_of(result(measurements=np.array([[0.1, np.inf], [0, 0]], np.float32)))
    assert [value for _, value in left.measured] == [0.1]


def test_a_value_that_the_card_does_not_name_is_refused() -> None:
    with pytest.raises(CardMismatch, match="1 values of the label map are no labels"):
        findings_of(result(boxes(right=7)))


def test_a_label_map_whose_values_are_segment_numbers_is_used_as_it_is() -> None:
    made = result()
    assert segment_planes(made, findings_of(made)) is made.arrays.labels


def test_label_values_become_segment_numbers() -> None:
    told = card()
    told["labels"][0]["value"], told["labels"][1]["value"] = 200, 9
    made = result(boxes(left=200, right=9), told=told)
    planes = segment_planes(made, findings_of(made))
    assert planes is not made.arrays.labels
    assert np.array_equal(planes, boxes())


@pytest.mark.parametrize(
    ("labels", "fault"),
    [
        (np.zeros((8, 4), np.uint8), "no label map"),
        (np.zeros((2, 4, 4), np.int16), "'labels' as int16"),
        (np.zeros((2, 0, 4), np.uint8), "no label map"),
    ],
)
def test_what_is_no_label_map_is_refused(labels: np.ndarray, fault: str) -> None:
    with pytest.raises(ResultDamaged, match=fault):
        result(labels)


def test_a_plane_that_belongs_to_no_instance_or_to_two_is_refused() -> None:
    with pytest.raises(ResultDamaged, match="which plane"):
        result(frames=["2.25.1"])
    with pytest.raises(ResultDamaged, match="which plane"):
        result(frames=["2.25.1"] * len(boxes()))


def test_measurements_of_another_shape_than_the_card_tells_are_refused() -> None:
    with pytest.raises(CardMismatch, match="2 by 2"):
        result(measurements=measured()[:1])
