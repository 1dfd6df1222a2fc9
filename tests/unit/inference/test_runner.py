"""The runner of packages without a Triton model of their own, with real networks: processing there and back."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from services.catalogue.repository import RUNNER, configuration, described_card
from services.contracts.card import CardError, ModelCard
from services.contracts.processing import processing_of
from services.inference.errors import OutputMismatch
from services.inference.model import Prediction
from services.inference.promises import check
from tests.packages import serve_shipped
from tests.unit.inference.fakes import CARD
from tests.unit.inference.networks import above, network

sys.path.insert(0, str(RUNNER))

from plexus_runner.axes import Grid, arrangement
from plexus_runner.packages import runner_of
from plexus_runner.question import Input, Question
from plexus_runner.refusals import Refused
from plexus_runner.windows import slide, starts

FINDING = {"name": "Seen", "type": {"code": "52101004", "scheme": "SCT", "meaning": "Present"}}
AXIAL = np.eye(3)
PLAIN: Mapping[str, Any] = {"processing": {"measure": ["volume-ml"]}}


def card(**changes: Any) -> ModelCard:
    return ModelCard.from_mapping({**CARD, "kind": "onnx", **changes})


def run(
    folder: Path,
    weights: bytes,
    volume: NDArray[Any],
    spacing: tuple[float, float, float] = (2.0, 1.0, 1.0),
    direction: NDArray[np.float64] = AXIAL,
    **changes: Any,
) -> Prediction:
    """The answer of a package, checked as `inference` does."""
    (folder / "network.onnx").write_bytes(weights)
    made = card(**changes)
    runner = runner_of(folder, json.loads(json.dumps(described_card(made))))
    answer = Prediction(**runner.run(Question(Input(volume, np.array(spacing), direction))))
    check(answer, made, volume.shape[:3])
    return answer


def ball(
    shape: tuple[int, int, int], spacing: tuple[float, float, float], centre: tuple[float, float, float], radius: float
) -> NDArray[np.int16]:
    """1000 HU in a ball (mm, in the volume's own axes), -1000 around it, soft at the border."""
    axes = np.ogrid[tuple(slice(0, length) for length in shape)]
    away = np.sqrt(sum((axis * step - middle) ** 2 for axis, step, middle in zip(axes, spacing, centre, strict=True)))
    return np.rint(1000 * np.clip(radius - away, -1, 1)).astype(np.int16)


def middle(labels: Any, spacing: tuple[float, float, float]) -> NDArray[np.float64]:
    return np.argwhere(labels).mean(axis=0) * spacing


def turned(degrees: float) -> NDArray[np.float64]:
    """Columns along left, rows between posterior and superior."""
    angle = np.deg2rad(degrees)
    return np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])


@pytest.mark.parametrize(
    "direction",
    [
        pytest.param(AXIAL, id="axial"),
        pytest.param(np.diag([-1.0, -1.0, 1.0]), id="reversed in plane"),
        pytest.param(np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]), id="coronal"),
        pytest.param(
            np.array([[0.0, 0, 1], [1, 0, 0], [0, -1, 0]])[:, [0, 1, 2]] * [1, 1, -1], id="sagittal, reversed"
        ),
        pytest.param(turned(25), id="oblique"),
        pytest.param(turned(160), id="oblique, upside down"),
    ],
)
@pytest.mark.parametrize("axes", ["RAS", "SPL"])
def test_what_a_network_finds_comes_back_to_where_it_lies_to_a_tenth_of_a_millimetre(
    tmp_path: Path, direction: NDArray[np.float64], axes: str
) -> None:
    shape, spacing, centre = (30, 64, 60), (2.5, 0.9, 0.8), (33.0, 30.0, 21.0)
    volume = ball(shape, spacing, centre, 15.0)
    block = {
        "axes": axes,
        "spacing": [1.5, 1.5, 1.5],
        "intensity": [{"scale": {"low": -1000, "high": 1000, "to_low": -1, "to_high": 1}}],
        "window": {"size": [24, 20, 28], "overlap": 0.4},
        "measure": ["volume-ml"],
    }
    answer = run(tmp_path, above(0), volume, spacing, direction, processing=block)
    assert answer.labels is not None and answer.labels.dtype == np.uint8
    assert np.abs(middle(answer.labels == 3, spacing) - centre).max() < 0.1
    assert answer.measurements is not None
    assert answer.measurements[0, 0] == pytest.approx(4 / 3 * np.pi * 15**3 / 1000, rel=0.03)


def test_axes_are_named_by_the_side_to_which_they_run() -> None:
    assert arrangement(AXIAL, "SPL") == ((0, 1, 2), (False, False, False))
    assert arrangement(AXIAL, "RAS") == ((2, 1, 0), (True, True, False))
    coronal = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # rows run down the patient, planes to the back
    assert arrangement(coronal, "SPL") == ((1, 0, 2), (True, False, False))


def test_a_grid_and_its_inverse_agree_voxel_by_voxel() -> None:
    volume = np.arange(5 * 6 * 7).reshape(5, 6, 7).astype(np.float32)
    grid = Grid.of(volume.shape, (2, 1, 1), AXIAL, axes="RAS", target=None, size=None)
    assert np.array_equal(grid.view(volume), volume.transpose(2, 1, 0)[::-1, ::-1])
    same = np.empty_like(volume)
    grid.nearest(grid.view(volume), same)
    assert np.array_equal(same, volume)
    ramp = np.broadcast_to(np.arange(40, dtype=np.float32), (8, 9, 40)).copy()
    coarse = Grid.of(ramp.shape, (1, 1, 1), AXIAL, axes="SPL", target=(1, 1, 2.5), size=None)
    back = np.empty_like(ramp)
    coarse.smooth(coarse.sampled(coarse.view(ramp)), back)
    assert np.allclose(back[:, :, 3:-3], ramp[:, :, 3:-3], atol=1e-4)


def test_windows_cover_everything_and_blend_to_what_one_window_gives() -> None:
    image = np.random.default_rng(2).normal(size=(1, 23, 30, 17)).astype(np.float32)
    size = (8, 12, 32)

    def cut(place: Any) -> NDArray[np.float32]:
        around = np.pad(image, [(0, 0), (16, 16), (16, 16), (16, 16)])
        return around[(slice(None), *(slice(at + 16, at + 16 + one) for at, one in zip(place, size, strict=True)))]

    for blend in ("gaussian", "constant"):
        made = np.zeros_like(image)
        for first, slab in slide(image.shape[1:], size, overlap=0.5, blend=blend, cut=cut, run=lambda patch: patch):
            made[:, first : first + slab.shape[1]] = slab
        assert np.allclose(made, image, atol=1e-5)
    assert starts(10, 32, 0.5) == [-11] and starts(20, 8, 0.5) == [0, 4, 8, 12]


@pytest.mark.parametrize(
    ("steps", "seen"),
    [
        ([{"clip": {"low": 0, "high": 2}}], [0, 0, 1, 2]),
        ([{"window": {"centre": 1, "width": 2}}], [0, 0, 0.5, 1]),
        ([{"scale": {"low": -4, "high": 4, "to_low": -1, "to_high": 1}}], [-1, 0, 0.25, 1]),
        ([{"normalise": {"mean": 1, "std": 2}}], [-2.5, -0.5, 0, 1.5]),
        ([{"minmax": {}}], [0, 0.5, 0.625, 1]),
        ([{"percentiles": {"low": 0, "high": 100}}], [0, 0.5, 0.625, 1]),
        ([{"zscore": {}}], [-1.4853, -0.0874, 0.2621, 1.3106]),
        ([{"zscore": {"over": "nonzero"}}], [-1.3131, 0, 0.202, 1.1111]),
        ([{"clip": {"low": 0, "high": 2}}, {"minmax": {}}], [0, 0, 0.5, 1]),
    ],
)
def test_intensity_steps_are_what_their_names_say(tmp_path: Path, steps: list[Any], seen: list[float]) -> None:
    volume = np.array([-4, 0, 1, 4], np.int16).reshape(1, 1, 4)
    changes = {"task": "image-to-image", "labels": [], "measurements": [], "map": MAP}
    answer = run(tmp_path, network([1], [0]), volume, **changes, processing={"intensity": steps})
    assert answer.map is not None and np.allclose(answer.map.ravel(), seen, atol=2e-3)


MAP = {
    "name": "Likelihood",
    "quantity": {"code": "111056", "scheme": "DCM", "meaning": "Rank"},
    "unit": {"code": "1", "scheme": "UCUM", "meaning": "no units"},
}


def test_the_largest_piece_stays_and_small_ones_go(tmp_path: Path) -> None:
    volume = np.full((10, 20, 20), -1000, np.int16)
    volume[2:8, 2:8, 2:8], volume[2:5, 12:15, 12:15], volume[9, 19, 19] = 500, 500, 500
    for block, voxels in (
        ({"largest_component": True}, 216),
        ({"minimum_ml": 0.01}, 216 + 27),
        ({}, 216 + 27 + 1),
    ):
        answer = run(tmp_path, above(0), volume, processing={"measure": ["voxels"], **block})
        assert answer.measurements is not None and answer.measurements[0, 0] == voxels


def test_nothing_found_is_a_result_with_zero_volume_and_no_mean(tmp_path: Path) -> None:
    volume = np.full((4, 8, 8), -1000, np.int16)
    answer = run(tmp_path, above(0), volume, processing={"measure": ["mean"]})
    assert answer.labels is not None and not answer.labels.any()
    assert answer.measurements is not None and np.isnan(answer.measurements[0, 0])


def test_three_hundred_labels_come_in_16_bits(tmp_path: Path) -> None:
    labels = [{**CARD["labels"][0], "value": value, "name": f"Label {value}"} for value in range(1, 301)]
    volume = np.full((2, 4, 4), 10, np.int16)
    weights, bias = [0.0] * 301, [0.0] * 301
    weights[299] = 1.0
    changes = {"labels": labels, "measurements": [], "processing": {}}
    answer = run(tmp_path, network(weights, bias), volume, **changes)
    assert answer.labels is not None and answer.labels.dtype == np.uint16 and (answer.labels == 299).all()
    assert "TYPE_UINT16" in configuration(card(**changes), "any-1.0.0")


def test_probabilities_come_in_255ths_and_labels_of_a_sigmoid_need_their_threshold(tmp_path: Path) -> None:
    volume = np.array([-4, 0, 4], np.int16).reshape(1, 1, 3)
    changes = {"measurements": [], "outputs": ["labels", "probabilities"]}
    block = {"activation": "sigmoid", "threshold": 0.9}
    answer = run(tmp_path, network([1], [0]), volume, **changes, processing=block)
    assert answer.labels is not None and answer.labels.ravel().tolist() == [0, 0, 3]
    assert answer.probabilities is not None and answer.probabilities.ravel().tolist() == [5, 128, 250]


def test_a_two_dimensional_network_sees_plane_after_plane_and_may_be_resized(tmp_path: Path) -> None:
    volume = np.full((3, 30, 40), -1000, np.int16)
    volume[1, 6:24, 8:32] = 1000
    block = {"dimensions": 2, "size": [15, 20], "measure": ["area-mm2"]}
    answer = run(tmp_path, above(0, dimensions=2), volume, (1, 0.5, 0.5), processing=block)
    assert answer.labels is not None and np.array_equal(answer.labels > 0, volume > 0)
    assert answer.measurements is not None and answer.measurements[0, 0] == 18 * 24 * 0.25


def test_a_classifier_of_frames_in_colour_gives_the_mean_over_its_frames(tmp_path: Path) -> None:
    volume = np.zeros((2, 4, 4), np.float32)
    volume[1] = 2
    changes = {
        "task": "classification", "labels": [], "measurements": [], "classes": [FINDING, FINDING],
        "input": {"kind": "frames", "units": "stored"},
    }  # fmt: skip
    weights = above(0, dimensions=2, pooled=True)
    answer = run(tmp_path, weights, volume, **changes, processing={"dimensions": 2})
    assert answer.classes is not None
    assert np.allclose(answer.classes, np.mean([[0.5, 0.5], [1 / (1 + np.e**4), 1 / (1 + np.e**-4)]], axis=0))


@pytest.mark.parametrize(
    ("weights", "changes", "words"),
    [
        (network([1] * 5, [0] * 5), PLAIN, "has 5 output channels, and the card gives labels to 2"),
        (network([float("nan"), 1], [0, 0]), PLAIN, r"not a number \(NaN\)"),
        (above(0, dimensions=2), PLAIN, "does not take an input of"),
        (b"no network", PLAIN, "cannot be read"),
        (
            above(0, pooled=True),
            {"task": "classification", "labels": [], "measurements": [], "classes": [FINDING], "processing": {}},
            "answers 2 numbers, and the card has 1 classes",
        ),
    ],
)
def test_a_network_that_does_not_fit_its_card_is_refused_in_words(
    tmp_path: Path, weights: bytes, changes: Mapping[str, Any], words: str
) -> None:
    with pytest.raises(Refused, match=words):
        run(tmp_path, weights, np.zeros((3, 4, 5), np.int16), **changes)


def test_torchscript_without_torch_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "network.pt").write_bytes(b"")
    with pytest.raises(Refused, match=r"environment of the package's own .* torch\.onnx\.export"):
        runner_of(tmp_path, described_card(card(kind="torchscript", **PLAIN)))


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ({"spacings": [1, 1, 1]}, "keys that are not known: spacings"),
        ({"axes": "RAR"}, "'processing.axes'"),
        ({"spacing": [1, 1]}, "'spacing' needs 3 numbers"),
        ({"spacing": [1, 1, 0]}, "'processing.spacing'"),
        ({"window": {"size": [8, 8]}}, "'window' needs a size of 3 numbers"),
        ({"window": {"size": [8, 8, 8]}, "size": [8, 8, 8]}, "both 'size' and 'window'"),
        ({"intensity": [{"blur": {}}]}, "the step blur is not known; known are clip"),
        ({"intensity": [{"clip": {"low": 3, "high": 1}}]}, "empty range"),
        ({"activation": "relu"}, "'processing.activation'"),
        ({"activation": "none"}, "needs an 'activation'"),
        ({"channel_labels": [0, 9]}, "'channel_labels' has values that are no labels"),
        ({"measure": []}, "'measure' needs one entry for each of the 1 measurements"),
        ({"network": "../other.onnx"}, "'processing.network'"),
    ],
)
def test_a_block_that_cannot_be_is_refused_by_its_key(block: Mapping[str, Any], words: str) -> None:
    with pytest.raises(CardError, match=words):
        processing_of(card(processing={"measure": ["volume-ml"], **block}))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"map": np.full((2, 2, 2), np.inf, np.float32)}, "infinite"),
        ({"classes": np.array([np.nan], np.float32)}, "not all from 0 to 1"),
        ({"boxes": np.array([[0, 0, 0, 9, 1, 1]], np.float32)}, "1 boxes lie outside the image"),
        ({"box_labels": np.array([9], np.uint16)}, "labels that the card does not name"),
        ({"box_scores": np.array([np.nan], np.float32)}, "box_scores are not all from 0 to 1"),
        ({"probabilities": np.zeros((2, 2, 2, 2), np.uint8)}, "2 x 2 x 2 x 2 where 1 x 2 x 2 x 2 is due"),
        ({"image": np.zeros((2, 2, 2), np.float32)}, "float32 where"),
        ({"labels": None}, "it has no labels"),
    ],
)
def test_no_array_may_leave_its_promise(changed: Mapping[str, Any], words: str) -> None:
    owed = ["labels", "probabilities", "measurements", "map", "boxes", "classes", "image"]
    made = card(outputs=owed, map=MAP, classes=[FINDING], kind="triton")
    right: dict[str, Any] = {
        "labels": np.zeros((2, 2, 2), np.uint8),
        "measurements": np.zeros((1, 1), np.float32),
        "probabilities": np.zeros((1, 2, 2, 2), np.uint8),
        "map": np.full((2, 2, 2), np.nan, np.float32),
        "boxes": np.array([[-0.5, 0, 0, 1.5, 1, 1]], np.float32),
        "box_labels": np.array([3], np.uint16),
        "box_scores": np.array([0.5], np.float32),
        "classes": np.array([1], np.float32),
        "image": np.zeros((2, 2, 2), np.uint16),
    }
    check(Prediction(**right), made, (2, 2, 2))
    with pytest.raises(OutputMismatch, match=words):
        check(Prediction(**{**right, **changed}), made, (2, 2, 2))


def test_every_package_of_the_repository_is_laid_for_triton(tmp_path: Path) -> None:
    names = serve_shipped(tmp_path / "repository")
    assert {"ct-bone-1.1.0", "ct-lung-1.1.0"} < set(names)
    for name in names:
        assert (tmp_path / "repository" / name / "1" / "model.py").is_file()
        assert f'name: "{name}"' in (tmp_path / "repository" / name / "config.pbtxt").read_text()
