"""Whether an answer is what the card promises. An empty answer is one; an answer with a stranger in it is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.contracts.card import ModelCard
from services.contracts.tensors import Output, label_type, promised
from services.inference.errors import OutputMismatch
from services.inference.model import Prediction

MOST_BOXES = 10_000
_BOX_TOLERANCE = 1e-3


def check(prediction: Prediction, card: ModelCard, shape: tuple[int, int, int]) -> None:
    """Compares an answer with what the card promises for an input of `shape`.

    Raises:
        OutputMismatch: it is something else; the reason says what was due.
    """
    arrays = prediction.arrays()
    owed = promised(card)
    missing = [output for output in owed if output not in arrays]
    if missing:
        raise OutputMismatch(card.name, f"it has no {' and no '.join(missing)}")
    extra = [output for output in arrays if output not in owed]
    if extra:
        raise OutputMismatch(card.name, f"it has {' and '.join(extra)}, which the card does not promise")
    for output in owed:
        _check(output, arrays, card, shape)


def _check(output: Output, arrays: dict[Output, NDArray[Any]], card: ModelCard, shape: tuple[int, int, int]) -> None:
    array, name = arrays[output], card.name
    match output:
        case Output.LABELS:
            _is(array, label_type(card), shape, output, name)
            _known(array, card)
        case Output.PROBABILITIES:
            _is(array, np.uint8, (len(card.labels), *shape), output, name)
        case Output.MEASUREMENTS:
            _is(array, np.float32, (max(len(card.labels), 1), len(card.measurements)), output, name)
            if np.isinf(array).any():
                raise OutputMismatch(name, "a measurement is infinite")
        case Output.MAP:
            _is(array, np.float32, shape, output, name)
            if any(np.isinf(plane).any() for plane in array):
                raise OutputMismatch(name, "the map holds infinite values")
        case Output.CLASSES:
            _is(array, np.float32, (len(card.classes),), output, name)
            _probable(array, "classes", name)
        case Output.IMAGE:
            _picture(array, shape, name)
        case Output.BOXES:
            _boxes(array, shape, name)
        case Output.BOX_LABELS:
            _is(array, np.uint16, (len(arrays[Output.BOXES]),), output, name)
            if not np.isin(array, [label.value for label in card.labels]).all():
                raise OutputMismatch(name, "boxes have labels that the card does not name")
        case Output.BOX_SCORES:
            _is(array, np.float32, (len(arrays[Output.BOXES]),), output, name)
            _probable(array, "box_scores", name)


def _is(array: NDArray[Any], dtype: Any, shape: Sequence[int], output: Output, name: str) -> None:
    if array.dtype != np.dtype(dtype):
        raise OutputMismatch(name, f"{output} are {array.dtype} where {np.dtype(dtype)} is due")
    if array.shape != tuple(shape):
        raise OutputMismatch(name, f"{output} are {_by(array.shape)} where {_by(shape)} is due")


def _known(labels: NDArray[Any], card: ModelCard) -> None:
    length = 1 << (8 * labels.dtype.itemsize)
    counts = np.zeros(length, np.int64)
    for plane in labels:  # plane by plane: counting turns its input into 64-bit numbers
        counts += np.bincount(plane.ravel(), minlength=length)
    strange = set(np.flatnonzero(counts).tolist()) - {0} - {label.value for label in card.labels}
    if strange:
        raise OutputMismatch(card.name, f"labels hold {len(strange)} values that the card does not name")


def _probable(array: NDArray[Any], what: str, name: str) -> None:
    if not ((array >= 0) & (array <= 1)).all():  # false for NaN, too
        raise OutputMismatch(name, f"{what} are not all from 0 to 1")


def _picture(array: NDArray[Any], shape: tuple[int, int, int], name: str) -> None:
    grey = array.shape == shape and array.dtype in (np.uint8, np.uint16)
    if not grey and not (array.shape == (*shape, 3) and array.dtype == np.uint8):
        raise OutputMismatch(
            name, f"the image is {_by(array.shape)} {array.dtype} where {_by(shape)} of 8 or 16 bits, or RGB, is due"
        )


def _boxes(boxes: NDArray[Any], shape: tuple[int, int, int], name: str) -> None:
    if boxes.ndim != 2:
        raise OutputMismatch(name, f"boxes are {_by(boxes.shape)} where N x 6 is due")
    _is(boxes, np.float32, (len(boxes), 6), Output.BOXES, name)
    if len(boxes) > MOST_BOXES:
        raise OutputMismatch(name, f"it has {len(boxes)} boxes, and {MOST_BOXES} are the most")
    low, high = boxes[:, :3], boxes[:, 3:]
    inside = (low >= -0.5 - _BOX_TOLERANCE) & (high <= np.array(shape) - 0.5 + _BOX_TOLERANCE) & (low <= high)
    if not inside.all():  # a NaN is not inside
        raise OutputMismatch(name, f"{int((~inside.all(axis=1)).sum())} boxes lie outside the image or are reversed")


def _by(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) or "a single number"
