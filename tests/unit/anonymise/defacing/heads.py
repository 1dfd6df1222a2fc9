"""Heads of our own: an ellipsoid with scalp, skull and brain, a nose, lips, a chin, and a neck, sliced in any way.

Places are in millimetres, to the left, to the back, up. The brain reaches where brains reach in a common head: frontal
poles and the floor of the skull are nearest to the cut.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from services.pixels.faces import Plane
from tests.unit.anonymise.burned_in.made import instance

Array = NDArray[Any]
CT, MR, ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1"
_SIZE = np.array([78.0, 98.0, 92.0])
_BASE = (np.array([-0.70, -0.57, -0.43, -0.31, -0.16, 0.0]), np.array([-0.2, 0.1, 0.36, 0.58, 0.68, 1.0]))
"""How far the brain reaches to the front, by height, both in measures of the head."""
_FEATURES = (
    (0, -97, -52, 10),
    (0, -108, -60, 9),
    (0, -92, -85, 14),
    (0, -82, -118, 16),
    (30, -84, -36, 12),
    (-30, -84, -36, 12),
)
"""Nose, its tip, lips, chin and eyes: to the left, to the back, up, radius."""
DIRECTIONS: Mapping[str, tuple[tuple[int, int, int], tuple[int, int, int], tuple[int, int, int]]] = {
    "axial": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "axial from the feet": ((-1, 0, 0), (0, 1, 0), (0, 0, -1)),
    "sagittal": ((0, 1, 0), (0, 0, -1), (1, 0, 0)),
    "coronal": ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
    "coronal from behind": ((-1, 0, 0), (0, 0, -1), (0, -1, 0)),
}
"""Along a row, down a column, from slice to slice."""


class Parts(NamedTuple):
    """What lies at places."""

    skin: NDArray[np.bool_]
    brain: NDArray[np.bool_]
    face: NDArray[np.bool_]


class Slice(NamedTuple):
    """A slice of a head."""

    plane: Plane
    parts: Parts
    values: Array


def parts(places: Array) -> Parts:
    """What lies at places of a head whose middle is the origin."""
    measures = places / _SIZE
    out = np.linalg.norm(measures, axis=-1)
    front, height = -measures[..., 1], measures[..., 2]
    jaw = (
        (np.hypot(places[..., 0] / 60, (places[..., 1] + 25) / 62) < 1)
        & (places[..., 2] < -40)
        & (places[..., 2] > -130)
    )
    neck = (np.hypot(places[..., 0] / 55, (places[..., 1] - 20) / 55) < 1) & (places[..., 2] < -60)
    features = np.zeros(out.shape, bool)
    for x, y, z, radius in _FEATURES:
        features |= np.linalg.norm(places - (x, y, z), axis=-1) < radius
    skull = (out < 1) & (height > -0.75)
    brain = (out < 0.85) & (front < np.interp(height, *_BASE)) & (height > -0.70)
    face = features & (places[..., 1] < -80) & ~brain
    return Parts(skull | jaw | neck | features, brain, face)


def slices(
    direction: str, *, size: int = 72, spacing: float = 4.0, apart: float = 5.0, tilt: float = 0.0
) -> Iterator[Slice]:
    """All slices of a head, in values of MR; `tilt` is how far they are turned to the front, in degrees."""
    row, column, normal = (np.array(each, float) for each in DIRECTIONS[direction])
    turned = np.deg2rad(tilt)
    turn = np.array([[1, 0, 0], [0, np.cos(turned), -np.sin(turned)], [0, np.sin(turned), np.cos(turned)]])
    row, column, normal = turn @ row, turn @ column, turn @ normal
    noise = np.random.default_rng(7)
    centre = np.array([0.0, 0.0, -20.0])
    for number in range(int(260 / apart)):
        origin = centre + normal * (number * apart - 130) - (row + column) * spacing * (size - 1) / 2
        plane = Plane(*(tuple(map(float, each)) for each in (origin, row * spacing, column * spacing)))  # type: ignore[arg-type]
        found = parts(plane.points(size, size))
        values = noise.integers(0, 20, found.skin.shape) + 400 * found.skin + 200 * found.brain
        yield Slice(plane, found, values.astype(np.int16))


def file_of(one: Slice, number: int, syntax: str = "1.2.840.10008.1.2.1", *, sop_class: str = MR, **more: Any) -> bytes:
    """A slice as an instance of its series."""
    across, down = (float(np.linalg.norm(step)) for step in one.plane[1:])
    placed: dict[str, Any] = {
        "ImagePositionPatient": [round(each, 6) for each in one.plane.origin],
        "ImageOrientationPatient": [
            round(each / size, 8) for step, size in zip(one.plane[1:], (across, down), strict=True) for each in step
        ],
        "PixelSpacing": [down, across],
        "SOPInstanceUID": f"1.2.3.4.{number}",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
    }
    return instance(one.values, syntax, sop_class=sop_class, **{**placed, **more})


def enhanced(given: Sequence[Slice], syntax: str = "1.2.840.10008.1.2.1") -> bytes:
    """All slices as the frames of one instance (PS3.3 C.7.6.16)."""
    frames = [pydicom.dcmread(io.BytesIO(file_of(one, 0))) for one in given]
    shared, by_frame = Dataset(), []
    orientation, measures, values = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = frames[0].ImageOrientationPatient
    measures.PixelSpacing = frames[0].PixelSpacing
    values.RescaleSlope, values.RescaleIntercept = 2, -5
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    shared.PixelValueTransformationSequence = [values]
    for frame in frames:
        group, position = Dataset(), Dataset()
        position.ImagePositionPatient = frame.ImagePositionPatient
        group.PlanePositionSequence = [position]
        by_frame.append(group)
    return instance(
        np.stack([one.values for one in given]),
        syntax,
        sop_class=ENHANCED_MR,
        frames=len(given),
        ImageType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"],
        SharedFunctionalGroupsSequence=[shared],
        PerFrameFunctionalGroupsSequence=by_frame,
    )
