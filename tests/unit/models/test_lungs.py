"""models/ct-lung on a phantom whose volumes are known."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

from tests.unit.models.phantom import HEAD_FIRST, SPACING, Chest, chest, dice, millilitres

LEFT, RIGHT = 1, 2


@pytest.fixture(scope="module")
def phantom() -> Chest:
    return chest()


def test_both_lungs_are_found_with_their_volumes(lungs: ModuleType, phantom: Chest) -> None:
    labels = lungs.segment(phantom.hu, SPACING, HEAD_FIRST)
    measured = lungs.measure(phantom.hu, labels, SPACING)
    assert labels.shape == phantom.hu.shape and labels.dtype == np.uint8
    assert dice(labels == LEFT, phantom.left) > 0.98
    assert dice(labels == RIGHT, phantom.right) > 0.98
    assert measured[0, 0] == pytest.approx(millilitres(phantom.left), rel=0.03)
    assert measured[1, 0] == pytest.approx(millilitres(phantom.right), rel=0.03)
    assert measured[:, 1] == pytest.approx(-835, abs=15)
    assert measured[:, 2] == pytest.approx(0, abs=1)


def test_the_airway_is_not_lung(lungs: ModuleType, phantom: Chest) -> None:
    labels = lungs.segment(phantom.hu, SPACING, HEAD_FIRST)
    assert np.count_nonzero(labels[phantom.airway]) < 0.05 * np.count_nonzero(phantom.airway)


def test_gas_below_the_diaphragm_and_foam_in_the_table_are_not_lung(lungs: ModuleType, phantom: Chest) -> None:
    labels = lungs.segment(phantom.hu, SPACING, HEAD_FIRST)
    assert not labels[phantom.bubble].any()
    assert not labels[:, 160:].any()


def test_vessels_inside_a_lung_belong_to_it(lungs: ModuleType, phantom: Chest) -> None:
    labels = lungs.segment(phantom.hu, SPACING, HEAD_FIRST)
    inside = phantom.left & (phantom.hu > 0)
    assert np.count_nonzero(labels[inside] == LEFT) > 0.95 * np.count_nonzero(inside)


@pytest.mark.parametrize("flipped", [(0,), (1,), (2,), (0, 2), (0, 1, 2)])
def test_left_stays_left_however_the_volume_is_stored(
    lungs: ModuleType, phantom: Chest, flipped: tuple[int, ...]
) -> None:
    direction = HEAD_FIRST.copy()
    for axis in flipped:
        direction[:, 2 - axis] *= -1
    labels = lungs.segment(np.ascontiguousarray(np.flip(phantom.hu, flipped)), SPACING, direction)
    assert dice(np.flip(labels, flipped) == LEFT, phantom.left) > 0.98
    assert dice(np.flip(labels, flipped) == RIGHT, phantom.right) > 0.98


def test_a_sagittal_volume_is_read_along_the_patients_axes(lungs: ModuleType, phantom: Chest) -> None:
    volume = np.ascontiguousarray(phantom.hu.transpose(2, 0, 1)[:, ::-1])  # slices to the left, rows downwards
    direction = np.array([[0, 1, 0], [0, 0, -1], [1, 0, 0]], float).T
    labels = lungs.segment(volume, SPACING[[2, 0, 1]], direction)
    assert dice(labels == LEFT, phantom.left.transpose(2, 0, 1)[:, ::-1]) > 0.98


@pytest.mark.parametrize("septum_hu", [-450, -600, None])
def test_lungs_that_touch_in_front_are_told_apart(lungs: ModuleType, septum_hu: int | None) -> None:
    phantom = chest(gap_mm=-6.0, septum_hu=septum_hu)
    labels = lungs.segment(phantom.hu, SPACING, HEAD_FIRST)
    assert dice(labels == LEFT, phantom.left) > 0.98
    assert dice(labels == RIGHT, phantom.right) > 0.98


def test_an_emphysematous_lung_is_still_lung(lungs: ModuleType) -> None:
    phantom = chest(lung_hu=-960, noise_hu=35)
    labels = lungs.segment(phantom.hu, SPACING, HEAD_FIRST)
    measured = lungs.measure(phantom.hu, labels, SPACING)
    assert dice(labels == LEFT, phantom.left) > 0.95
    assert measured[0, 2] > 50


def test_a_single_lung_keeps_its_side(lungs: ModuleType, phantom: Chest) -> None:
    hu = phantom.hu.copy()
    hu[phantom.left] = 30
    labels = lungs.segment(hu, SPACING, HEAD_FIRST)
    measured = lungs.measure(hu, labels, SPACING)
    assert dice(labels == RIGHT, phantom.right) > 0.97
    assert measured[0, 0] < 0.02 * millilitres(phantom.left)


@pytest.mark.parametrize("value", [-3024, -1000, 0, 3000])
def test_where_there_is_no_lung_the_labels_are_empty(lungs: ModuleType, value: int) -> None:
    hu = np.full((12, 40, 44), value, np.int16)
    labels = lungs.segment(hu, SPACING, HEAD_FIRST)
    measured = lungs.measure(hu, labels, SPACING)
    assert not labels.any()
    assert (measured[:, 0] == 0).all() and np.isnan(measured[:, 1:]).all()


def test_the_same_volume_gives_the_same_labels(lungs: ModuleType, phantom: Chest) -> None:
    one, other = (lungs.segment(phantom.hu, SPACING, HEAD_FIRST) for _ in range(2))
    assert (one == other).all()


@pytest.mark.parametrize(("factors", "keep"), [((2, 1, 1), 51), ((3, 1, 2), 100)])
def test_slices_of_other_thickness_give_the_same_volume(
    lungs: ModuleType, phantom: Chest, factors: tuple[int, int, int], keep: int
) -> None:
    steps = tuple(slice(0, None, factor) for factor in factors)
    hu = np.ascontiguousarray(phantom.hu[steps])[:keep]
    labels = lungs.segment(hu, SPACING * factors, HEAD_FIRST)
    measured = lungs.measure(hu, labels, SPACING * factors)
    assert measured[0, 0] == pytest.approx(millilitres(phantom.left), rel=0.05)
