"""Boxes: around what a map shows, or out of a table of rows; the best of those that overlap; back to the source grid.

A box is six numbers: first plane, row, column, last plane, row, column. They are continuous indices: the middle of a
voxel is a whole number, and what is found reaches to its border, half a voxel further.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from plexus_runner.axes import Grid
from plexus_runner.refusals import Refused

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Found:
    """Boxes with their labels and scores, on one grid."""

    boxes: Numbers
    labels: NDArray[np.int_]
    scores: Numbers

    @classmethod
    def of(cls, parts: Sequence[tuple[Sequence[float], int, float]]) -> Found:
        """Boxes one by one: six numbers, a label, a score."""
        boxes = np.array([part[0] for part in parts], np.float64).reshape(-1, 6)
        return cls(boxes, np.array([part[1] for part in parts], int), np.array([part[2] for part in parts], np.float64))

    def some(self, which: Any) -> Found:
        """These of them, in this order."""
        return Found(self.boxes[which], self.labels[which], self.scores[which])


def around(
    likely: NDArray[np.float32], values: Sequence[int], *, threshold: float, minimum: float, joined: bool
) -> Found:
    """A box around each piece of the maps [label, plane, row, column] that reaches the threshold.

    Its sides lie where the map, linear between voxels, crosses the threshold. The score is the highest value inside.

    Args:
        likely: a map for each of `values`.
        values: labels.
        threshold: what belongs to a piece.
        minimum: voxels of the smallest piece.
        joined: whether pieces go on from plane to plane.
    """
    touching = ndimage.generate_binary_structure(3, 1)
    if not joined:
        touching[[0, 2]] = False
    parts = []
    for chances, value in zip(likely, values, strict=True):
        pieces, _ = ndimage.label(chances >= threshold, touching)
        for number, place in enumerate(ndimage.find_objects(pieces), start=1):
            inside = pieces[place] == number
            if np.count_nonzero(inside) < minimum:
                continue
            sides = [_sides(chances, place, inside, axis, threshold) for axis in range(3)]
            if not joined:
                sides[0] = (place[0].start - 0.5, place[0].stop - 0.5)
            score = float(np.clip(chances[place][inside].max(), 0, 1))
            parts.append(([side[0] for side in sides] + [side[1] for side in sides], value, score))
    return Found.of(parts)


def _sides(
    chances: NDArray[np.float32], place: tuple[slice, ...], inside: NDArray[np.bool_], axis: int, threshold: float
) -> tuple[float, float]:
    """Where a piece begins and ends along an axis."""
    found = []
    for end, outward in ((place[axis].start, -1), (place[axis].stop - 1, 1)):
        beyond = end + outward
        share = 0.5
        if 0 <= beyond < chances.shape[axis]:
            here, there = (
                np.take(chances, index, axis)[tuple(part for other, part in enumerate(place) if other != axis)]
                for index in (end, beyond)
            )
            border = np.take(inside, end - place[axis].start, axis)
            # Both lie on either side of the threshold: what is beyond would belong to the piece otherwise.
            high, low = here[border].astype(np.float64), there[border].astype(np.float64)
            share = float(((high - threshold) / np.maximum(high - low, 1e-12)).max())
        found.append(end + outward * min(share, 1.0))
    return found[0], found[1]


def of_rows(
    table: NDArray[np.float32],
    rule: dict[str, Any],
    *,
    size: Sequence[int],
    place: Sequence[int],
    labels: Sequence[int],
) -> Found:
    """The boxes in the rows of a network that saw `size` voxels from `place` on.

    Args:
        table: [boxes, columns].
        rule: the block `boxes`.
        size: of what it saw, three numbers; of a plane the first is 1.
        place: where that lies on the network's grid.
        labels: for each class the label; 0 for none.
    """
    columns = rule["columns"]
    if table.ndim != 2 or (len(table) and table.shape[1] != len(columns)):
        raise Refused(f"the network answers {list(table.shape)} where [boxes, {len(columns)}] is due: {columns}")
    if len(table) == 0:
        return Found.of([])
    of_name = {name: table[:, number].astype(np.float64) for number, name in enumerate(columns)}
    first, last = [], []
    for axis, length, start in zip("zyx", size, place, strict=True):
        scale = length if rule["relative"] else 1
        shift = start - 0.5 if rule["origin"] == "corner" else start
        if axis + "0" in of_name:
            low, high = of_name[axis + "0"], of_name[axis + "1"]
        elif axis + "c" in of_name:
            low, high = (of_name[axis + "c"] + part * of_name[axis + "s"] for part in (-0.5, 0.5))
        else:  # of a plane, its own thickness
            low, high, scale, shift = np.zeros(len(table)), np.ones(len(table)), 1, start - 0.5
        first.append(low * scale + shift)
        last.append(high * scale + shift)
    kinds = np.rint(of_name.get("class", np.zeros(len(table)))).astype(int)
    strange = kinds[(kinds < 0) | (kinds >= len(labels))]
    if len(strange):
        raise Refused(f"the network answers the class {strange[0]}, and the card gives labels to {len(labels)}")
    found = Found(np.stack([*first, *last], axis=1), np.array(labels)[kinds], of_name["score"])
    return found.some((found.labels > 0) & (found.boxes[:, :3] < found.boxes[:, 3:]).all(axis=1))


def best(found: Found, *, threshold: float, overlap: float, most: int) -> Found:
    """Those that reach the threshold, the most certain first; none that overlaps a better one of its label."""
    order = [int(one) for one in np.argsort(-found.scores, kind="stable") if found.scores[one] >= threshold]
    kept: list[int] = []
    for one in order:
        if len(kept) == most:
            break
        rivals = [other for other in kept if found.labels[other] == found.labels[one]]
        if not rivals or _shared(found.boxes[one], found.boxes[rivals]).max() <= overlap:
            kept.append(one)
    return found.some(kept)


def _shared(box: Numbers, others: Numbers) -> Numbers:
    """Intersection over union."""
    low, high = np.maximum(box[:3], others[:, :3]), np.minimum(box[3:], others[:, 3:])
    both = np.clip(high - low, 0, None).prod(axis=1)
    sizes = (others[:, 3:] - others[:, :3]).prod(axis=1) + (box[3:] - box[:3]).prod()
    return np.asarray(both / np.maximum(sizes - both, 1e-12))


def on_source(found: Found, grid: Grid) -> dict[str, NDArray[Any]]:
    """The arrays of the result: on the source grid, cut where they leave the image; what lies outside is dropped."""
    made = np.empty_like(found.boxes)
    for axis, source_axis in enumerate(grid.order):
        low, high = (grid.starts[axis] + grid.steps[axis] * found.boxes[:, axis + end] for end in (0, 3))
        if grid.flips[axis]:
            low, high = grid.source[axis] - 1 - high, grid.source[axis] - 1 - low
        outer = grid.source[axis] - 0.5
        made[:, source_axis], made[:, source_axis + 3] = np.clip(low, -0.5, outer), np.clip(high, -0.5, outer)
    there = (made[:, :3] < made[:, 3:]).all(axis=1)
    return {
        "boxes": made[there].astype(np.float32),
        "box_labels": found.labels[there].astype(np.uint16),
        "box_scores": np.clip(found.scores[there], 0, 1).astype(np.float32),
    }
