"""Boxes by declared processing, with real networks: from maps and from rows, back on the source grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from services.contracts.card import CardError
from services.contracts.processing import processing_of
from services.inference.model import Prediction
from tests.unit.inference.fakes import CARD
from tests.unit.inference.networks import network, rows
from tests.unit.inference.test_runner import AXIAL, card, run, turned

SHAPE, SPACING = (30, 64, 60), (2.5, 0.9, 0.8)
DETECTION: Mapping[str, Any] = {"task": "detection", "measurements": []}
LABELS = [{**CARD["labels"][0], "value": value, "name": f"Label {value}"} for value in (3, 4)]
DIRECTIONS = [
    pytest.param(AXIAL, id="axial"),
    pytest.param(np.diag([-1.0, -1.0, 1.0]), id="reversed in plane"),
    pytest.param(np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]), id="coronal"),
    pytest.param(turned(160), id="oblique, upside down"),
]
YX = ["y0", "x0", "y1", "x1", "score"]
ZYX = ["z0", "y0", "x0", "z1", "y1", "x1", "score"]


def detect(folder: Path, weights: bytes, volume: NDArray[Any], **changes: Any) -> Prediction:
    return run(folder, weights, volume, **{**DETECTION, **changes})


def box(
    shape: Sequence[int], spacing: Sequence[float], centre: Sequence[float], half: Sequence[float]
) -> NDArray[np.int16]:
    """100 HU a mm from the nearest side of a box (mm, in the volume's own axes), positive inside."""
    axes = np.ogrid[tuple(slice(0, length) for length in shape)]
    away = [
        one - abs(axis * step - middle) for axis, step, middle, one in zip(axes, spacing, centre, half, strict=True)
    ]
    inside = np.minimum(np.minimum(away[0], away[1]), away[2])
    return np.rint(100 * np.clip(inside, -10, 10)).astype(np.int16)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("axes", ["RAS", "SPL"])
def test_a_box_around_what_a_map_shows_lies_where_it_is_to_a_tenth_of_a_millimetre(
    tmp_path: Path, direction: NDArray[np.float64], axes: str
) -> None:
    centre, half = np.array([33.2, 30.1, 21.3]), np.array([12.3, 8.7, 6.6])
    block = {
        "axes": axes,
        "spacing": [1.5, 1.5, 1.5],
        "intensity": [{"scale": {"low": -1000, "high": 1000}}],
        "window": {"size": [24, 20, 28], "overlap": 0.4},
        "activation": "threshold",
        "boxes": {"from": "map"},
    }
    volume = box(SHAPE, SPACING, centre, half)
    answer = detect(tmp_path, network([1], [0]), volume, spacing=SPACING, direction=direction, processing=block)
    assert answer.boxes is not None and answer.box_labels is not None and answer.box_scores is not None
    assert answer.box_labels.tolist() == [3] and answer.box_scores[0] > 0.75
    found = np.asarray(answer.boxes)[0].reshape(2, 3) * SPACING
    assert np.abs(found - [centre - half, centre + half]).max() < 0.1


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_row_lies_where_the_network_saw_it_to_a_tenth_of_a_millimetre(
    tmp_path: Path, direction: NDArray[np.float64]
) -> None:
    """The network's grid has the middle of the source's, steps of 1.5 mm, and its axes run to right, front and top."""
    origin = direction[:, ::-1] @ ((np.array(SHAPE) - 1) / 2 * SPACING)  # from the first voxel to the middle, LPS
    wanted = np.array([[10.0, 12.0, 20.0], [22.0, 30.0, 33.0]]) * SPACING  # mm along plane, row, column
    corners = np.array([direction[:, ::-1] @ (corner * [1, 1, 1]) for corner in wanted]) - origin
    order, flips, size = [], [], []
    for letter in range(3):  # right, front and top are -L, -P, S
        axis = int(np.abs(direction[letter, ::-1]).argmax())
        order.append(axis)
        flips.append(np.sign(direction[letter, ::-1][axis]) * (1 if letter == 2 else -1))
        size.append(max(1, round(SHAPE[axis] * SPACING[axis] / 1.5)))
    own = (corners @ direction[:, ::-1])[:, order] * flips / 1.5 + (np.array(size) - 1) / 2  # voxels of the network
    row = [*own.min(axis=0), *own.max(axis=0), 0.8]
    block = {"axes": "RAS", "spacing": [1.5] * 3, "boxes": {"from": "rows", "columns": ZYX, "origin": "centre"}}
    volume = np.zeros(SHAPE, np.int16)
    answer = detect(tmp_path, rows([row]), volume, spacing=SPACING, direction=direction, processing=block)
    assert answer.boxes is not None and answer.box_scores is not None
    assert np.abs(np.asarray(answer.boxes)[0].reshape(2, 3) * SPACING - wanted).max() < 0.1
    assert answer.box_scores.tolist() == [pytest.approx(0.8)]


def test_of_rows_that_overlap_the_best_of_each_label_stays(tmp_path: Path) -> None:
    table = [
        [2, 2, 10, 10, 0.7, 0],
        [3, 3, 11, 11, 0.9, 0],  # better, and much the same
        [3, 3, 11, 11, 0.6, 1],  # of another label
        [20, 20, 28, 28, 0.4, 0],  # not likely enough
        [30, 30, 38, 38, 0.55, 0],
        [30, 30, 90, 35, 0.95, 1],  # leaves the image
        [60, 60, 70, 70, 0.95, 1],  # outside of it
    ]
    boxes = {"from": "rows", "columns": [*YX, "class"]}
    changes = {"labels": LABELS, "input": {"kind": "image", "units": "stored"}}
    image = np.zeros((1, 40, 40), np.float32)
    answer = detect(tmp_path, rows(table, dimensions=2), image, **changes, processing={"dimensions": 2, "boxes": boxes})
    assert answer.boxes is not None and answer.box_labels is not None
    assert answer.boxes.tolist() == [
        [-0.5, 29.5, 29.5, 0.5, 39.5, 34.5],
        [-0.5, 2.5, 2.5, 0.5, 10.5, 10.5],
        [-0.5, 2.5, 2.5, 0.5, 10.5, 10.5],
        [-0.5, 29.5, 29.5, 0.5, 37.5, 37.5],
    ]
    assert answer.box_labels.tolist() == [4, 3, 4, 3]
    block = {"dimensions": 2, "boxes": {**boxes, "most": 1}}
    answer = detect(tmp_path, rows(table, dimensions=2), image, **changes, processing=block)
    assert answer.boxes is not None and len(answer.boxes) == 1


def test_rows_may_be_parts_of_the_input_by_middle_and_size_with_scores_before_their_sigmoid(tmp_path: Path) -> None:
    boxes = {"from": "rows", "columns": ["xc", "yc", "xs", "ys", "score"], "relative": True}
    block = {"dimensions": 2, "size": [20, 10], "activation": "sigmoid", "boxes": boxes}
    image = np.zeros((2, 40, 80), np.float32)
    changes = {"input": {"kind": "frames", "units": "stored"}, "processing": block}
    answer = detect(tmp_path, rows([[0.5, 0.25, 0.5, 0.1, 2.0]], dimensions=2), image, **changes)
    assert answer.boxes is not None and answer.box_scores is not None
    assert np.allclose(answer.boxes[0], [-0.5, 7.5, 19.5, 0.5, 11.5, 59.5], atol=1e-4)
    assert np.allclose(answer.boxes[1], [0.5, 7.5, 19.5, 1.5, 11.5, 59.5], atol=1e-4)
    assert np.allclose(answer.box_scores, 1 / (1 + np.exp(-2)))


def test_every_window_has_its_own_rows_and_those_seen_twice_are_one(tmp_path: Path) -> None:
    block = {
        "window": {"size": [8, 8, 8], "overlap": 0},
        "boxes": {"from": "rows", "columns": ZYX, "overlap": 0.5},
    }
    volume = np.zeros((8, 8, 12), np.int16)
    answer = detect(tmp_path, rows([[0, 0, 0, 8, 8, 8, 0.9]]), volume, processing=block)
    assert answer.boxes is not None
    assert answer.boxes[:, 2].tolist() == [-0.5, 3.5] and answer.boxes[:, 5].tolist() == [7.5, 11.5]
    block["boxes"] = {"from": "rows", "columns": ZYX, "overlap": 0.3}
    answer = detect(tmp_path, rows([[0, 0, 0, 8, 8, 8, 0.9]]), volume, processing=block)
    assert answer.boxes is not None and len(answer.boxes) == 1


def test_nothing_found_is_no_box_and_small_pieces_are_nothing(tmp_path: Path) -> None:
    volume = np.full((6, 12, 12), -1000, np.int16)
    changes = {"outputs": ["boxes", "labels", "measurements"], "measurements": CARD["measurements"]}
    block = {"activation": "threshold", "threshold": 0, "boxes": {}, "measure": ["voxels"]}
    answer = detect(tmp_path, network([1], [0]), volume, **changes, processing=block)
    assert answer.boxes is not None and answer.boxes.shape == (0, 6)
    volume[1:4, 2:6, 2:6] = volume[5, 11, 11] = volume[0, 11, 10] = 1000
    answer = detect(tmp_path, network([1], [0]), volume, **changes, processing={**block, "minimum_ml": 0.01})
    assert answer.boxes is not None and answer.measurements is not None
    assert answer.boxes.tolist() == [[0.5, 1.5, 1.5, 3.5, 5.5, 5.5]] and answer.measurements[0, 0] == 48


def test_pieces_of_a_loop_end_with_their_frame_and_those_of_a_volume_go_on(tmp_path: Path) -> None:
    volume = np.full((4, 8, 8), -1, np.float32)
    volume[1:3, 2:4, 5:7] = 1
    block = {"activation": "threshold", "threshold": 0, "boxes": {}}
    for kind, number in (("volume", 1), ("frames", 2)):
        given = {"input": {"kind": kind, "units": "stored"}, "processing": block}
        answer = detect(tmp_path, network([1], [0]), volume, **given)
        assert answer.boxes is not None and len(answer.boxes) == number
        assert answer.boxes[0, :3].tolist() == [0.5, 1.5, 4.5]


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ({}, "boxes and the key 'boxes' belong together"),
        ({"boxes": {"form": "map"}}, "keys that are not known: form"),
        ({"boxes": {"from": "rows"}}, "columns need z0 and z1, or zc and zs"),
        ({"boxes": {"from": "rows", "columns": YX}}, "columns need z0 and z1"),
        ({"boxes": {"from": "rows", "columns": ZYX[:-1]}}, "columns need a score"),
        ({"boxes": {"from": "rows", "columns": [*ZYX, "w"]}}, "columns are x0, x1 and so on"),
        ({"boxes": {"columns": ZYX}}, "are for boxes from rows"),
        ({"boxes": {"overlap": 2}}, "an overlap from 0 to 1"),
        ({"boxes": {}, "activation": "argmax"}, "need probabilities"),
        ({"boxes": {"from": "rows", "columns": ZYX}, "activation": "softmax"}, "none or sigmoid"),
    ],
)
def test_a_block_of_boxes_that_cannot_be_is_refused_by_its_key(block: Mapping[str, Any], words: str) -> None:
    with pytest.raises(CardError, match=words):
        processing_of(card(**DETECTION, processing=block))


def test_rows_leave_no_other_output_and_a_class_without_a_label_is_refused(tmp_path: Path) -> None:
    block = {"boxes": {"from": "rows", "columns": ZYX}}
    with pytest.raises(CardError, match="leave no other output"):
        processing_of(card(**DETECTION, outputs=["boxes", "labels"], processing=block))
    block = {"boxes": {"from": "rows", "columns": [*ZYX, "class"]}}
    volume = np.zeros((4, 8, 8), np.int16)
    with pytest.raises(Exception, match="answers the class 5, and the card gives labels to 1"):
        detect(tmp_path, rows([[0, 0, 0, 1, 1, 1, 0.9, 5]]), volume, processing=block)
    with pytest.raises(Exception, match=r"answers \[1, 7\] where \[boxes, 8\] is due"):
        detect(tmp_path, rows([[0, 0, 0, 1, 1, 1, 0.9]]), volume, processing=block)
