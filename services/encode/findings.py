"""What a result says of each label, which boxes it drew, and on which planes there is most to see. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite

import numpy as np
from numpy.typing import NDArray

from services.contracts.card import Code, Label, Measurement
from services.contracts.tensors import LIKELY
from services.encode.errors import CardMismatch
from services.encode.result import InferredResult


@dataclass(frozen=True, slots=True)
class Finding:
    """One label of the card in one result.

    Attributes:
        number: its segment in the SEG, or None when no voxel has it.
        measured: what could be measured; a NaN of the model is left out.
        boxes: how many boxes have the label.
    """

    label: Label
    voxels: int
    number: int | None
    measured: tuple[tuple[Measurement, float], ...]
    boxes: int = 0

    @property
    def found(self) -> bool:
        """Whether there is anything of it."""
        return self.number is not None or self.boxes > 0


@dataclass(frozen=True, slots=True)
class Box:
    """One box: its label, its score, its first and last plane, row and column in continuous index coordinates."""

    label: Label
    score: float
    first: tuple[float, float, float]
    last: tuple[float, float, float]

    @property
    def planes(self) -> range:
        """The planes whose centre lies in the box; at least one."""
        planes = range(ceil(self.first[0]), floor(self.last[0]) + 1)
        middle = round((self.first[0] + self.last[0]) / 2)
        return planes or range(middle, middle + 1)


def findings_of(result: InferredResult) -> tuple[Finding, ...]:
    """The labels of the card with what the result says of each, in the card's order; segments are numbered from 1.

    Raises:
        CardMismatch: the label map has a value that the card does not name.
    """
    card = result.card
    voxels = _voxels(result)
    rows = _measured(result)
    boxed = [] if result.arrays.box_labels is None else result.arrays.box_labels.tolist()
    found, number = [], 0
    for label, row in zip(card.labels, rows, strict=False):
        count = voxels[label.value]
        number += count > 0
        found.append(Finding(label, count, number if count else None, row, boxed.count(label.value)))
    return tuple(found)


def whole_measured(result: InferredResult) -> tuple[tuple[Measurement, float], ...]:
    """What was measured of the whole input: of a card without labels."""
    return () if result.card.labels else _measured(result)[0]


def extent(values: NDArray[np.float32]) -> tuple[float, float] | None:
    """The smallest and the largest value of a map; None where the model had nothing to say at all."""
    there = np.isfinite(values)
    return (float(values[there].min()), float(values[there].max())) if there.any() else None


def unit_text(unit: Code) -> str:
    """A unit for people: UCUM codes with brackets and braces are for machines."""
    return unit.meaning if set(unit.code) & set("[]{}") else unit.code


def _measured(result: InferredResult) -> list[tuple[tuple[Measurement, float], ...]]:
    card = result.card
    rows = max(len(card.labels), 1)
    if result.arrays.measurements is None:
        return [()] * rows
    return [
        tuple(
            (measurement, float(f"{value:.7g}"))  # what a float32 holds; more digits would be made up
            for measurement, value in zip(card.measurements, row, strict=True)
            if isfinite(value)
        )
        for row in result.arrays.measurements.tolist()
    ]


def _voxels(result: InferredResult) -> dict[int, int]:
    card, arrays = result.card, result.arrays
    counts = dict.fromkeys((label.value for label in card.labels), 0)
    if arrays.labels is not None:
        voxels = np.zeros(np.iinfo(arrays.labels.dtype).max + 1, np.int64)
        for plane in arrays.labels:  # plane by plane: counting turns its input into 64-bit numbers
            voxels += np.bincount(plane.ravel(), minlength=len(voxels))
        strange = set(np.flatnonzero(voxels).tolist()) - {0} - set(counts)
        if strange:
            raise CardMismatch(f"{len(strange)} values of the label map are no labels")
        return {value: int(voxels[value]) if value < len(voxels) else 0 for value in counts}
    if arrays.probabilities is not None:
        for label, likely in zip(card.labels, arrays.probabilities, strict=True):
            counts[label.value] = int(sum(np.count_nonzero(plane >= LIKELY) for plane in likely))
    return counts


def boxes_of(result: InferredResult) -> tuple[Box, ...]:
    """The boxes, the most certain first."""
    arrays = result.arrays
    if arrays.boxes is None or arrays.box_labels is None or arrays.box_scores is None:
        return ()
    labels = {label.value: label for label in result.card.labels}
    boxes = [
        Box(labels[value], float(f"{score:.7g}"), tuple(corners[:3]), tuple(corners[3:]))
        for corners, value, score in zip(
            arrays.boxes.tolist(), arrays.box_labels.tolist(), arrays.box_scores.tolist(), strict=True
        )
    ]
    return tuple(sorted(boxes, key=lambda box: -box.score))


def mask_of(result: InferredResult, label: Label, plane: int) -> NDArray[np.bool_] | None:
    """Where the label is on a plane; None when the result has no masks."""
    arrays = result.arrays
    if arrays.labels is not None:
        return np.asarray(arrays.labels[plane] == label.value)
    if arrays.probabilities is not None:
        return np.asarray(arrays.probabilities[result.card.labels.index(label), plane] >= LIKELY)
    return None


def segment_planes(result: InferredResult, findings: Sequence[Finding]) -> NDArray[np.uint8 | np.uint16]:
    """The label map with segment numbers for label values. The map itself where they agree, else a second one."""
    labels = result.arrays.labels
    if labels is None:
        raise CardMismatch("it has no label map for a segmentation")
    if all(finding.number in (None, finding.label.value) for finding in findings):
        return labels
    numbers = np.zeros(np.iinfo(labels.dtype).max + 1, labels.dtype)
    for finding in findings:
        if finding.number is not None:
            numbers[finding.label.value] = finding.number
    planes = np.empty_like(labels)
    for source, target in zip(labels, planes, strict=True):
        np.take(numbers, source, out=target)
    return planes


def key_planes(result: InferredResult, limit: int) -> tuple[int, ...]:
    """The planes with most of what was found: of each label its best one, at most `limit`, in order; or none."""
    best: list[tuple[float, int]] = []
    for label in result.card.labels:
        if result.arrays.labels is None and result.arrays.probabilities is None:
            break
        masks = (mask_of(result, label, plane) for plane in range(len(result.frames)))
        counts = [0 if mask is None else int(np.count_nonzero(mask)) for mask in masks]
        if max(counts):
            best.append((float(max(counts)), int(np.argmax(counts))))
    best += [(box.score, box.planes[len(box.planes) // 2]) for box in boxes_of(result)]
    if result.arrays.map is not None:
        sums = [float(np.nansum(np.abs(plane))) for plane in result.arrays.map]
        best.append((max(sums), int(np.argmax(sums))))
    planes: list[int] = []
    for _, plane in sorted(best, key=lambda item: -item[0]):
        if plane not in planes:
            planes.append(plane)
    return tuple(sorted(planes[:limit]))
