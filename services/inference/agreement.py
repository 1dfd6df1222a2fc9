"""How near two versions of a model are, on one input: pure, from arrays to figures.

What is compared has the same name in both cards. Two masks without a voxel agree: their Dice coefficient is 1, for the
versions say the same. A measurement that a version did not make is NaN, and is told as such. Maps and images are not
compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.contracts.card import Label
from services.contracts.events import Figure, FigureKind
from services.contracts.tensors import LIKELY, Output
from services.inference.errors import NotComparable
from services.inference.model import Answer


def figures(active: Answer, candidate: Answer) -> tuple[Figure, ...]:
    """What both versions said, and how near it is.

    Raises:
        NotComparable: their planes are not those of the same frames, or they have nothing in common.
    """
    if active.frames != candidate.frames:
        raise NotComparable("their planes are not those of the same frames")
    found = (*_labels(active, candidate), *_measurements(active, candidate), *_classes(active, candidate))
    if not found:
        raise NotComparable("they have no label, measurement or class in common")
    return found


def dice(both: int, one: int, other: int) -> float:
    """The Dice coefficient of two masks: voxels in both, in one, in the other. 1 where both masks are empty."""
    return 2 * both / (one + other) if one + other else 1.0


def _labels(active: Answer, candidate: Answer) -> Iterator[Figure]:
    ones, others = _by_name(active), _by_name(candidate)
    shared = [name for name in ones if name in others]
    if not shared:
        return
    if Output.LABELS in active.arrays and Output.LABELS in candidate.arrays:
        counts = _overlaps(
            active.arrays[Output.LABELS],
            candidate.arrays[Output.LABELS],
            [ones[name].value for name in shared],
            [others[name].value for name in shared],
        )
        numbers = [
            (int(counts[at, at]), int(counts[at].sum()), int(counts[:, at].sum())) for at in range(1, len(shared) + 1)
        ]
    else:
        numbers = [_overlap(_mask(active, ones[name]), _mask(candidate, others[name])) for name in shared]
    for name, (both, one, other) in zip(shared, numbers, strict=True):
        yield Figure(FigureKind.LABEL, name, "", one, other, dice(both, one, other))


def _by_name(answer: Answer) -> Mapping[str, Label]:
    masks = Output.LABELS in answer.arrays or Output.PROBABILITIES in answer.arrays
    return {label.name: label for label in answer.card.labels} if masks else {}


def _overlaps(one: NDArray[Any], other: NDArray[Any], ones: list[int], others: list[int]) -> NDArray[np.int64]:
    """How many voxels are which label here and which label there, counted from 1; 0 is everything else."""
    first, second = _places(one, ones), _places(other, others)
    size = len(ones) + 1
    counts = np.zeros(size * size, np.int64)
    for plane, beside in zip(one, other, strict=True):  # plane by plane: counting turns its input into 64-bit numbers
        counts += np.bincount((first[plane] * size + second[beside]).ravel(), minlength=size * size)
    return counts.reshape(size, size)


def _places(labels: NDArray[Any], values: list[int]) -> NDArray[np.int64]:
    places = np.zeros(1 << (8 * labels.dtype.itemsize), np.int64)
    places[values] = np.arange(1, len(values) + 1)
    return places


def _mask(answer: Answer, label: Label) -> Iterator[NDArray[np.bool_]]:
    """The planes of a label's mask."""
    if Output.LABELS in answer.arrays:
        return (plane == label.value for plane in answer.arrays[Output.LABELS])
    place = answer.card.labels.index(label)
    return (plane >= LIKELY for plane in answer.arrays[Output.PROBABILITIES][place])


def _overlap(one: Iterator[NDArray[np.bool_]], other: Iterator[NDArray[np.bool_]]) -> tuple[int, int, int]:
    counts = np.zeros(3, np.int64)
    for plane, beside in zip(one, other, strict=True):
        counts += [np.count_nonzero(each) for each in (plane & beside, plane, beside)]
    return int(counts[0]), int(counts[1]), int(counts[2])


def _measurements(active: Answer, candidate: Answer) -> Iterator[Figure]:
    ones, others = _measured(active), _measured(candidate)
    for name, unit in ones:
        if (name, unit) in others:  # in another unit it is another thing
            yield Figure(FigureKind.MEASUREMENT, name, unit, ones[name, unit], others[name, unit])


def _measured(answer: Answer) -> dict[tuple[str, str], float]:
    """What was measured, by its name and unit; of boxes how many there are of each label."""
    found: dict[tuple[str, str], float] = {}
    rows = [label.name for label in answer.card.labels] or [""]
    if (table := answer.arrays.get(Output.MEASUREMENTS)) is not None:
        for row, numbers in zip(rows, table.tolist(), strict=True):
            for measurement, number in zip(answer.card.measurements, numbers, strict=True):
                found[f"{row} {measurement.name}".strip(), measurement.unit.code] = float(number)
    if (boxes := answer.arrays.get(Output.BOX_LABELS)) is not None:
        for label in answer.card.labels:
            found[f"{label.name} boxes", "1"] = float(np.count_nonzero(boxes == label.value))
    return found


def _classes(active: Answer, candidate: Answer) -> Iterator[Figure]:
    ones, others = _said(active), _said(candidate)
    for name in ones:
        if name in others:
            yield Figure(FigureKind.CLASS, name, "", ones[name], others[name])


def _said(answer: Answer) -> dict[str, float]:
    """1 for each class that the version says to be there, by the threshold of its own card; 0 for the others."""
    chances = answer.arrays.get(Output.CLASSES)
    if chances is None:
        return {}
    told = zip(answer.card.classes, chances.tolist(), strict=True)
    return {finding.name: float(chance >= finding.threshold) for finding, chance in told}
