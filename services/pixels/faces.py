"""Where the face is in a volume of a head, found from the shape of the skull cap alone; and what is cut away for it.

The upper part of a head is nearly half an ellipsoid. It is fitted to what is farthest out there, and gives the measures
of this head: its middle, and how far it reaches to the sides, to the front and up. The face lies before and below a
plane that falls from the eyebrows to the jaw joints, at a distance from the brain. All that lies before that plane is
replaced by air, whatever it is: a plane keeps no shape of what was there. Nothing is learned, nothing is random.

Coordinates are those of patients (PS3.3 C.7.6.2.1.1): to the left, to the back, up; in millimetres.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Vector = tuple[float, float, float]

COARSE_MM: Final = 3.5
"""The skull cap is looked for in pixels about as large."""
_SLICES_APART_MM: Final = 2.5
_GAP_MM: Final = 12.0
_FEWEST_SLICES: Final = 8
_SKIN_HU: Final = -300.0
_CAP_MM: Final = 85.0
"""From the vertex to the eyebrows of a grown person, and a little less."""
_ROUNDS: Final = 6
_MOST_RESIDUAL: Final = 0.06
_FEWEST_POINTS: Final = 150
_BINS: Final = (18, 36)
_SIDE: Final = (50.0, 100.0)
_FRONT: Final = (60.0, 125.0)
_UP: Final = (50.0, 130.0)
_SIDE_TO_FRONT: Final = (0.62, 1.0)
_UP_TO_FRONT: Final = (0.75, 1.3)
"""What heads are like. Where the scalp does not show and only the brain does, the ellipsoid comes out too flat."""
_TOP: Final = 0.6
"""So far up, as a part of the ellipsoid's height, the cap has to be seen for its measures to be trusted."""

_MIDDLE, _STANDS_OUT, _MOST_ASIDE, _HIGHEST_NOSE, _FARTHEST_CHIN = 0.3, 1.08, 12.0, -0.42, 1.15
"""In measures of the ellipsoid and degrees; see `_check_front`."""
_BROW, _FALL, _JAW, _NECK = 0.96, 1.0, 0.1, -2.2
"""The cut, in measures of the ellipsoid: a plane that falls backwards by `_FALL` from `_BROW` at its middle level,
upright from `_JAW` on, down to `_NECK`."""


class Doubt(StrEnum):
    """Why nobody can tell where the face is."""

    NO_VOLUME = "no-volume"
    """Too few slices, not parallel, or with gaps."""
    NO_CAP = "no-cap"
    """No skull cap of a person was found in it."""
    REVERSED = "reversed"
    """What should be the front does not look like one."""
    TURNED = "turned"
    """The head is turned aside or tipped back so far that the cut might miss a part of the face, or take some brain."""


class NoFace(Exception):
    """Where the face is cannot be told."""

    def __init__(self, doubt: Doubt) -> None:
        super().__init__(doubt.value)
        self.doubt = doubt


class Plane(NamedTuple):
    """Where a frame lies: its first pixel, and the steps to the next one in a row and in a column."""

    origin: Vector
    across: Vector
    down: Vector

    def points(self, rows: int, columns: int) -> Array:
        """The places of all pixels, rows × columns × 3."""
        down, across = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
        steps = down[..., None] * np.asarray(self.down) + across[..., None] * np.asarray(self.across)
        made: Array = steps + np.asarray(self.origin)
        return made

    @property
    def normal(self) -> Array:
        """The direction that it looks in."""
        crossed: Array = np.cross(self.across, self.down)
        made: Array = crossed / np.linalg.norm(crossed)
        return made


class Coarse(NamedTuple):
    """A frame in large pixels, in units that all frames of its series share."""

    plane: Plane
    values: Array


class Cut(NamedTuple):
    """What is cut away, by the measures of a head.

    Attributes:
        middle: of the ellipsoid.
        side: its half axis from right to left.
        front: from back to front.
        up: from bottom to top.
    """

    middle: Vector
    side: float
    front: float
    up: float

    def taken(self, plane: Plane, rows: int, columns: int) -> NDArray[np.bool_]:
        """Which pixels of a frame are taken away."""
        place = plane.points(rows, columns) - np.asarray(self.middle)
        front, height = -place[..., 1] / self.front, place[..., 2] / self.up
        taken: NDArray[np.bool_] = (front > np.maximum(_BROW + _FALL * height, _JAW)) & (height < 0) & (height > _NECK)
        return taken


def coarse(values: Array, plane: Plane) -> Coarse:
    """A frame in pixels of about `COARSE_MM`, each the mean of those that it covers."""
    steps = [max(1, round(COARSE_MM / float(np.linalg.norm(step)))) for step in (plane.down, plane.across)]
    rows, columns = (size // step for size, step in zip(values.shape, steps, strict=True))
    if not rows or not columns:
        return Coarse(plane, values.astype(np.float32))
    cut = values[: rows * steps[0], : columns * steps[1]].astype(np.float32)
    means = cut.reshape(rows, steps[0], columns, steps[1]).mean(axis=(1, 3))
    down, across = np.asarray(plane.down), np.asarray(plane.across)
    origin = np.asarray(plane.origin) + (steps[0] - 1) / 2 * down + (steps[1] - 1) / 2 * across
    return Coarse(Plane(_vector(origin), _vector(steps[1] * across), _vector(steps[0] * down)), means)


def face_of(frames: Sequence[Coarse], *, hounsfield: bool) -> Cut:
    """What has to be cut away.

    Args:
        frames: of a series, in any order; of several at one place, one is looked at.
        hounsfield: the values are of CT.

    Raises:
        NoFace: the series shows no head that it can be told for.
    """
    slices = _sorted(frames)
    volume = np.stack([one.values for one in slices])
    head, surface = _surface(volume, _SKIN_HU if hounsfield else _threshold(volume))
    cut = _fitted(_points(slices, surface))
    _check_front(_points(slices, head), cut)
    return cut


def _points(slices: Sequence[Coarse], mask: NDArray[np.bool_]) -> Array:
    return np.concatenate(
        [one.plane.points(*one.values.shape)[inside] for one, inside in zip(slices, mask, strict=True)]
    )


def _sorted(frames: Sequence[Coarse]) -> list[Coarse]:
    """Parallel slices in order, none at a place twice, no gap between them."""
    if not frames:
        raise NoFace(Doubt.NO_VOLUME)
    first = frames[0]
    normal = first.plane.normal
    for one in frames:
        same = one.values.shape == first.values.shape and all(
            np.allclose(ours, theirs, atol=1e-3) for ours, theirs in zip(one.plane[1:], first.plane[1:], strict=True)
        )
        if not same:
            raise NoFace(Doubt.NO_VOLUME)
    kept: list[Coarse] = []
    last = -np.inf
    gap = 0.0
    for height, one in sorted(((float(normal @ one.plane.origin), one) for one in frames), key=lambda each: each[0]):
        if height - last >= _SLICES_APART_MM or not kept:
            gap = max(gap, height - last if kept else 0.0)
            kept.append(one)
            last = height
    if len(kept) < _FEWEST_SLICES or gap > _GAP_MM:
        raise NoFace(Doubt.NO_VOLUME)
    return kept


def _threshold(volume: Array) -> float:
    """Between air and tissue (Otsu), of what is darker than most of the tissue."""
    most = float(np.percentile(volume, 90)) / 2
    if not float(volume.min()) < most:
        raise NoFace(Doubt.NO_CAP)
    counts, edges = np.histogram(np.clip(volume, None, most), 128)
    values = (edges[:-1] + edges[1:]) / 2
    below, sums = np.cumsum(counts), np.cumsum(counts * values)
    above = below[-1] - below
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float(edges[int(np.nanargmax(between)) + 1])


def _surface(volume: Array, above: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """What hangs together with the middle of what is brighter, and of that what borders on the air around it: neither
    the walls of hollows nor where the images end."""
    mask = volume > above
    places = np.argwhere(mask)
    seed = np.zeros_like(mask)
    if len(places):
        seed[tuple(places[np.argmin(((places - places.mean(axis=0)) ** 2).sum(axis=1))])] = True
    head = _grown(seed, mask)
    edge = np.ones_like(mask)
    edge[:, 1:-1, 1:-1] = False
    air = _grown(edge & ~head, ~head)
    near = np.zeros_like(mask)
    for axis in range(3):
        ours, theirs = np.moveaxis(near, axis, 0), np.moveaxis(air, axis, 0)
        ours[1:] |= theirs[:-1]
        ours[:-1] |= theirs[1:]
    return head, head & near


def _grown(seed: NDArray[np.bool_], allowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """All that hangs together with a seed."""
    grown = seed.copy()
    count = 0
    while (now := int(grown.sum())) > count:
        count = now
        for axis in range(3):  # there and back again: what lies straight ahead is reached in one round
            view, free = np.moveaxis(grown, axis, 0), np.moveaxis(allowed, axis, 0)
            for order in (range(1, len(view)), range(len(view) - 2, -1, -1)):
                for at in order:
                    view[at] |= view[at - order.step] & free[at]
    return grown


def _fitted(points: Array) -> Cut:
    """The ellipsoid of the cap, of ever better chosen points."""
    if not len(points):
        raise NoFace(Doubt.NO_CAP)
    top = float(np.percentile(points[:, 2], 99.9))
    cap = points[points[:, 2] > top - _CAP_MM]
    for _ in range(_ROUNDS):
        outer = _outermost(cap)
        off = np.zeros(len(outer))
        for _ in range(2):  # the second time without what lies off
            outer = outer[off <= 2.5 * max(float(np.median(off)), 0.01)] if len(outer) else outer
            if len(outer) < _FEWEST_POINTS:
                raise NoFace(Doubt.NO_CAP)
            cut = _ellipsoid(outer)
            off = np.abs(np.linalg.norm((outer - cut.middle) / (cut.side, cut.front, cut.up), axis=1) - 1)
        cap = points[points[:, 2] > cut.middle[2] - 0.05 * cut.up]
    residual = float(np.sqrt(np.mean(off**2)))
    seen = float(np.percentile((points[:, 2] - cut.middle[2]) / cut.up, 99.9))
    measures = (cut.side, _SIDE), (cut.front, _FRONT), (cut.up, _UP)
    ratios = (cut.side / cut.front, _SIDE_TO_FRONT), (cut.up / cut.front, _UP_TO_FRONT)
    good = all(low <= size <= high for size, (low, high) in (*measures, *ratios))
    if not good or residual > _MOST_RESIDUAL or seen < _TOP:
        raise NoFace(Doubt.NO_CAP)
    return cut


def _outermost(points: Array) -> Array:
    """Of each direction from their middle, the point that lies farthest out."""
    if not len(points):
        return points
    low, high = points.min(axis=0), points.max(axis=0)
    middle = np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]])
    away = points - middle
    distance = np.linalg.norm(away, axis=1) + 1e-6
    bins_up, bins_around = _BINS
    up = np.clip((np.arcsin(np.clip(away[:, 2] / distance, 0, 1)) / (np.pi / 2) * bins_up).astype(int), 0, bins_up - 1)
    around = ((np.arctan2(away[:, 1], away[:, 0]) / (2 * np.pi) + 0.5) * bins_around).astype(int) % bins_around
    cell = up * bins_around + around
    order = np.lexsort((distance, cell))
    last = np.r_[np.nonzero(np.diff(cell[order]))[0], len(order) - 1]
    made: Array = points[order[last]]
    return made


def _ellipsoid(points: Array) -> Cut:
    """The ellipsoid along the patient's axes that lies nearest (least squares of the algebraic distance)."""
    centre = points.mean(axis=0)
    scaled = (points - centre) / 100
    terms = np.hstack((scaled**2, scaled))
    found = np.linalg.lstsq(terms, np.ones(len(terms)), rcond=None)[0]
    square, line = found[:3], found[3:]
    if (square <= 0).any():
        raise NoFace(Doubt.NO_CAP)
    middle = -line / (2 * square)
    size = 100 * np.sqrt((1 + (square * middle**2).sum()) / square)
    return Cut(_vector(centre + 100 * middle), *map(float, size))


def _check_front(points: Array, cut: Cut) -> None:
    """The head looks to where the patient's front is said to be, as far as the images reach down to where that shows.

    A nose or a chin stands out farther to the front than a neck to the back. Of a head that is turned aside the nose
    stands out beside the middle; of one that is tipped back it stands too high, and the chin too far to the front.
    """
    place = (points - cut.middle) / (cut.side, cut.front, cut.up)
    front = -place[:, 1]
    middle = np.abs(place[:, 0]) < _MIDDLE
    low = middle & (place[:, 2] < -0.5) & (place[:, 2] > -1.0)
    if low.any() and -front[low].min() > front[low].max():
        raise NoFace(Doubt.REVERSED)
    ahead = (np.abs(place[:, 0]) < 1) & (place[:, 2] < 0) & (place[:, 2] > -1.0)
    if ahead.any() and (most := float(front[ahead].max())) > _STANDS_OUT:
        nose = ahead & (front > most - 0.04)
        aside = np.arctan2(np.abs(np.median(points[nose, 0] - cut.middle[0])), most * cut.front)
        if np.rad2deg(aside) > _MOST_ASIDE or float(np.median(place[nose, 2])) > _HIGHEST_NOSE:
            raise NoFace(Doubt.TURNED)
    chin = middle & (place[:, 2] < -1.0) & (place[:, 2] > -1.5)
    if chin.any() and front[chin].max() > _FARTHEST_CHIN:
        raise NoFace(Doubt.TURNED)


def _vector(values: Array) -> Vector:
    x, y, z = map(float, values)
    return x, y, z
