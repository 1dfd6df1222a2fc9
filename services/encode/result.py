"""A model's result as it crossed the airlock (`result.npz`, schema 2), believed only where it keeps its promises."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.contracts.card import ModelCard, ModelTask
from services.encode.errors import CardMismatch, ResultDamaged


class FrameName(NamedTuple):
    """Which frame a plane is: a pseudonymous SOP Instance UID, and a frame number from 1."""

    sop_instance_uid: str
    number: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Arrays:
    """What a model may say, on the grid of the source: P planes, R rows, C columns, in the order of the frames.

    Attributes:
        labels: P by R by C; 0, or a label value of the card.
        probabilities: L by P by R by C, 0 to 255 for 0 to 1; one map a label, in the card's order.
        measurements: one row a label of the card, or one for the input when it has none; NaN is not measured.
        map: P by R by C; NaN is nothing there.
        boxes: N by 6, first and last plane, row, column: voxel centres at integers, their edges at halves.
        box_labels: N label values of the card.
        box_scores: N, 0 to 1.
        classes: the probability of each entry of the card's `classes`.
        image: P by R by C, or P by R by C by 3 for colour.
    """

    labels: NDArray[np.uint8 | np.uint16] | None = None
    probabilities: NDArray[np.uint8] | None = None
    measurements: NDArray[np.float32] | None = None
    map: NDArray[np.float32] | None = None
    boxes: NDArray[np.float32] | None = None
    box_labels: NDArray[np.uint16] | None = None
    box_scores: NDArray[np.float32] | None = None
    classes: NDArray[np.float32] | None = None
    image: NDArray[np.uint8 | np.uint16] | None = None


ARRAY_NAMES = tuple(item.name for item in fields(Arrays))
_DTYPES = {
    "labels": ("uint8", "uint16"),
    "probabilities": ("uint8",),
    "measurements": ("float32",),
    "map": ("float32",),
    "boxes": ("float32",),
    "box_labels": ("uint16",),
    "box_scores": ("float32",),
    "classes": ("float32",),
    "image": ("uint8", "uint16"),
}


@dataclass(frozen=True, slots=True, eq=False)
class InferredResult:
    """A model's result.

    Attributes:
        frames: the frame that each plane of the arrays is.
        made_at: when the result was written.
    """

    job_id: str
    card: ModelCard
    frames: tuple[FrameName, ...]
    arrays: Arrays
    made_at: datetime

    def __post_init__(self) -> None:
        """Refuse a result that contradicts itself or its card.

        Raises:
            ResultDamaged: the arrays do not fit together.
            CardMismatch: the arrays do not fit the card.
        """
        if not self.frames or len(set(self.frames)) != len(self.frames) or min(f.number for f in self.frames) < 1:
            raise ResultDamaged("does not say which plane belongs to which instance")
        for name, dtypes in _DTYPES.items():
            array = getattr(self.arrays, name)
            if array is not None and array.dtype.name not in dtypes:
                raise ResultDamaged(f"holds '{name}' as {array.dtype.name}")
        self._check_promises()
        self._check_grids()
        self._check_numbers()

    @property
    def shape(self) -> tuple[int, int, int] | None:
        """Planes, rows, columns; None when nothing in the result lies on them."""
        arrays = self.arrays
        if arrays.probabilities is not None:
            planes, rows, columns = arrays.probabilities.shape[1:]
            return planes, rows, columns
        for array in (arrays.labels, arrays.map, arrays.image):
            if array is not None:
                return array.shape[0], array.shape[1], array.shape[2]
        return None

    def _check_promises(self) -> None:
        card, arrays = self.card, self.arrays
        segments = card.task in (ModelTask.VOLUME_SEGMENTATION, ModelTask.SLICE_SEGMENTATION)
        promised: dict[str, Any] = {
            "labels or probabilities": segments,
            "measurements": bool(card.measurements),
            "map": card.map is not None,
            "boxes": card.task is ModelTask.DETECTION,
            "classes": bool(card.classes),
            "image": card.task is ModelTask.IMAGE_TO_IMAGE and card.map is None,
        }
        for name, due in promised.items():
            if due and all(getattr(arrays, one) is None for one in name.split(" or ")):
                raise CardMismatch(f"{name} are promised and not there")
        if arrays.map is not None and card.map is None:
            raise CardMismatch("it has a map whose quantity the card does not tell")

    def _check_grids(self) -> None:
        arrays = self.arrays
        grids = {name: array for name in _RANKS if (array := getattr(arrays, name)) is not None}
        for name, array in grids.items():
            strange = array.ndim == 4 and name == "image" and (array.shape[3] != 3 or array.dtype != np.uint8)
            if array.ndim not in _RANKS[name] or array.size == 0 or strange:
                raise ResultDamaged(f"holds no {_WORDS[name]}")
        shape = self.shape
        if any(
            (array.shape[1:] if name == "probabilities" else array.shape[:3]) != shape for name, array in grids.items()
        ):
            raise ResultDamaged("holds arrays of several sizes")
        if shape is not None and shape[0] != len(self.frames):
            raise ResultDamaged("does not say which plane belongs to which instance")
        if arrays.probabilities is not None and len(arrays.probabilities) != len(self.card.labels):
            raise CardMismatch("it has not one map of probabilities a label")

    def _check_numbers(self) -> None:
        card, arrays = self.card, self.arrays
        rows = (max(len(card.labels), 1), len(card.measurements))
        if arrays.measurements is not None and arrays.measurements.shape != rows:
            raise CardMismatch(f"measurements are not {rows[0]} by {rows[1]} numbers")
        if arrays.classes is not None and (arrays.classes.shape != (len(card.classes),) or not _parts(arrays.classes)):
            raise CardMismatch(f"classes are not {len(card.classes)} probabilities")
        if arrays.map is not None and np.isinf(arrays.map).any():
            raise ResultDamaged("holds infinite values in its map")
        self._check_boxes()

    def _check_boxes(self) -> None:
        boxes, labels, scores = self.arrays.boxes, self.arrays.box_labels, self.arrays.box_scores
        if boxes is None:
            if labels is not None or scores is not None:
                raise ResultDamaged("has labels or scores of boxes, and no boxes")
            return
        if boxes.ndim != 2 or boxes.shape[1] != 6 or labels is None or scores is None:
            raise ResultDamaged("holds no boxes with labels and scores")
        if labels.shape != (len(boxes),) or scores.shape != (len(boxes),) or not _parts(scores):
            raise ResultDamaged("has not one label and one score from 0 to 1 a box")
        if not np.isfinite(boxes).all() or (boxes[:, :3] > boxes[:, 3:]).any():
            raise ResultDamaged("has boxes that end before they begin")
        last = np.array([len(self.frames), *(self.shape or (0, np.inf, np.inf))[1:]]) - 0.5
        if (boxes[:, :3] < -0.5).any() or (boxes[:, 3:] > last).any():
            raise ResultDamaged("has boxes outside the source")
        if set(labels.tolist()) - {label.value for label in self.card.labels}:
            raise CardMismatch("boxes have labels that the card does not name")


_RANKS = {"labels": (3,), "probabilities": (4,), "map": (3,), "image": (3, 4)}
_WORDS = {"labels": "label map", "probabilities": "probabilities", "map": "map", "image": "image"}


def _parts(array: NDArray[np.float32]) -> bool:
    """Whether all numbers lie from 0 to 1."""
    return bool(((array >= 0) & (array <= 1)).all())  # a NaN is neither
