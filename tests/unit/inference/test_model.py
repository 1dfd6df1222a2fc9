"""When slices are a volume, and when an answer fits its card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from services.contracts.work import result_key
from services.inference.errors import NotAVolume, OutputMismatch, Refusal
from services.inference.model import Prediction, Slice, stack
from services.inference.promises import check
from tests.unit.inference.fakes import toy_card

SLICE = Slice(
    series_instance_uid="2.25.1",
    rows=4,
    columns=5,
    row_cosines=(1, 0, 0),
    column_cosines=(0, 1, 0),
    position=(0, 0, 0),
    pixel_spacing=(0.8, 0.7),
)


def at(*depths: float) -> list[Slice]:
    return [replace(SLICE, position=(-10.0, -20.0, depth)) for depth in depths]


def refusal_of(slices: Sequence[Slice]) -> tuple[Refusal, str]:
    with pytest.raises(NotAVolume) as caught:
        stack(slices)
    assert caught.value.code == caught.value.refusal.value
    return caught.value.refusal, caught.value.reason


def test_slices_are_sorted_by_position_along_the_normal() -> None:
    geometry = stack(at(5, 0, 7.5, 2.5))
    assert geometry.order == (1, 3, 0, 2)
    assert geometry.shape == (4, 4, 5)
    assert geometry.spacing == (2.5, 0.8, 0.7)
    assert np.array_equal(geometry.direction, np.eye(3))


def test_the_normal_follows_from_the_orientation_so_a_flipped_one_reverses_the_order() -> None:
    slices = [replace(one, column_cosines=(0, -1, 0)) for one in at(0, 2.5, 5)]
    geometry = stack(slices)
    assert geometry.order == (2, 1, 0)
    assert np.array_equal(geometry.direction[:, 2], [0, 0, -1])


def test_an_oblique_stack_keeps_its_direction() -> None:
    angle = np.deg2rad(20)
    down = (0.0, float(np.cos(angle)), float(np.sin(angle)))
    normal = np.cross((1, 0, 0), down)
    slices = [
        replace(SLICE, column_cosines=down, position=tuple(float(x) for x in 3 * index * normal)) for index in range(5)
    ]
    geometry = stack(slices)
    assert geometry.spacing[0] == pytest.approx(3)
    assert np.allclose(geometry.direction.T @ geometry.direction, np.eye(3))
    assert np.linalg.det(geometry.direction) == pytest.approx(1)


def test_positions_that_the_scanner_rounded_are_still_even() -> None:
    geometry = stack(at(0, 0.6, 1.3, 1.9, 2.5, 3.1))
    assert geometry.spacing[0] == pytest.approx(0.62)


def test_one_slice_is_no_volume() -> None:
    assert refusal_of(at(0))[0] is Refusal.TOO_FEW
    assert refusal_of([])[0] is Refusal.TOO_FEW


def test_a_missing_slice_is_named_and_counted() -> None:
    refusal, reason = refusal_of(at(0, 2.5, 5, 12.5, 15))
    assert refusal is Refusal.MISSING_SLICES
    assert "about 2 slices are missing in 1 gap;" in reason


def test_uneven_spacing_is_refused_with_its_range() -> None:
    refusal, reason = refusal_of(at(0, 2.5, 5, 8, 10.5))
    assert refusal is Refusal.UNEVEN_SPACING
    assert "2.50 to 3.00 mm" in reason


def test_two_time_points_are_refused() -> None:
    refusal, reason = refusal_of(at(0, 2.5, 5, 0, 2.5, 5))
    assert refusal is Refusal.DUPLICATE_POSITIONS
    assert "3 of 6" in reason


def test_mixed_orientation_is_refused() -> None:
    slices = at(0, 2.5, 5)
    slices[1] = replace(slices[1], row_cosines=(0, 1, 0), column_cosines=(0, 0, -1))
    assert refusal_of(slices)[0] is Refusal.MIXED_ORIENTATION


def test_an_orientation_that_is_no_pair_of_unit_vectors_is_refused() -> None:
    slices = [replace(one, row_cosines=(1, 0, 0), column_cosines=(1, 0, 0)) for one in at(0, 2.5)]
    assert refusal_of(slices)[0] is Refusal.NO_GEOMETRY


@pytest.mark.parametrize(
    ("changed", "refusal"),
    [
        ({"rows": 8}, Refusal.MIXED_SIZE),
        ({"columns": 8}, Refusal.MIXED_SIZE),
        ({"pixel_spacing": (0.8, 0.9)}, Refusal.MIXED_PIXEL_SPACING),
        ({"series_instance_uid": "2.25.9"}, Refusal.SEVERAL_SERIES),
    ],
)
def test_slices_that_differ_are_refused(changed: dict[str, object], refusal: Refusal) -> None:
    slices = at(0, 2.5, 5)
    slices[2] = replace(slices[2], **changed)  # type: ignore[arg-type]  # each value is of its field's type
    assert refusal_of(slices)[0] is refusal


def test_a_tilted_gantry_is_refused_with_its_shift() -> None:
    slices = [replace(SLICE, position=(0, 0.9 * index, 2.5 * index)) for index in range(11)]
    refusal, reason = refusal_of(slices)
    assert refusal is Refusal.SHEARED
    assert "9.0 mm" in reason


def labels_of(*values: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    labels = np.zeros((4, 4, 5), np.uint8)
    labels.flat[: len(values)] = values
    return labels


def test_an_answer_that_fits_its_card_passes_even_with_nothing_found() -> None:
    check(Prediction(labels_of(3, 3), np.array([[1]], np.float32)), toy_card(), (4, 4, 5))
    check(Prediction(labels_of(), np.array([[np.nan]], np.float32)), toy_card(), (4, 4, 5))


@pytest.mark.parametrize(
    ("labels", "measurements", "words"),
    [
        (labels_of().astype(np.float32), np.zeros((1, 1), np.float32), "float32 where uint8"),
        (labels_of()[:3], np.zeros((1, 1), np.float32), "3 x 4 x 5 where 4 x 4 x 5 is due"),
        (labels_of(3, 7, 9), np.zeros((1, 1), np.float32), "2 values that the card does not name"),
        (labels_of(), np.zeros((2, 1), np.float32), "2 x 1 where 1 x 1 is due"),
        (labels_of(), np.zeros((1, 1), np.float64), "float64"),
        (labels_of(), np.full((1, 1), np.inf, np.float32), "infinite"),
    ],
)
def test_an_answer_that_does_not_fit_is_refused_with_the_difference(
    labels: np.ndarray, measurements: np.ndarray, words: str
) -> None:
    with pytest.raises(OutputMismatch, match=words):
        check(Prediction(labels, measurements), toy_card(), (4, 4, 5))


def test_the_place_of_a_result_follows_from_its_job() -> None:
    assert result_key("abc") == "jobs/abc/result.npz"
