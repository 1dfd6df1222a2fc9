"""models/ct-bone on a phantom with a spine and a heart full of contrast medium."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

from tests.unit.models.phantom import HEAD_FIRST, SPACING, chest, dice, millilitres

BONE = 1


def test_bone_is_found_with_its_marrow_and_without_the_table(bone: ModuleType) -> None:
    phantom = chest()
    labels = bone.segment(phantom.hu, SPACING, HEAD_FIRST)
    measured = bone.measure(phantom.hu, labels, SPACING)
    assert dice(labels == BONE, phantom.bones) > 0.95
    assert measured[0, 0] == pytest.approx(millilitres(phantom.bones), rel=0.05)
    assert 250 < measured[0, 1] < 500
    assert not labels[:, 160:].any()


@pytest.mark.parametrize("contrast_hu", [250, 450, 900])
def test_blood_full_of_contrast_is_not_bone(bone: ModuleType, contrast_hu: int) -> None:
    phantom = chest(contrast_hu=contrast_hu)
    labels = bone.segment(phantom.hu, SPACING, HEAD_FIRST)
    assert np.count_nonzero(labels[phantom.blood]) < 0.02 * np.count_nonzero(phantom.blood)
    assert dice(labels == BONE, phantom.bones) > 0.95


def test_a_flipped_volume_gives_flipped_labels(bone: ModuleType) -> None:
    phantom = chest()
    labels = bone.segment(np.ascontiguousarray(phantom.hu[::-1, :, ::-1]), SPACING, HEAD_FIRST * [-1, 1, -1])
    assert dice(labels[::-1, :, ::-1] == BONE, phantom.bones) > 0.95


@pytest.mark.parametrize("value", [-1000, 0, 3000])
def test_where_there_is_no_bone_the_labels_are_empty(bone: ModuleType, value: int) -> None:
    hu = np.full((12, 40, 44), min(value, 100), np.int16)
    labels = bone.segment(hu, SPACING, HEAD_FIRST)
    measured = bone.measure(hu, labels, SPACING)
    assert not labels.any()
    assert measured[0, 0] == 0 and np.isnan(measured[0, 1])
