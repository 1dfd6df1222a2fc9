"""What this service works on, and the rules by which slices make a volume and pictures a loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.contracts.card import MAIN_INPUT, InputKind, ModelCard
from services.contracts.tensors import Output, geometry_names
from services.inference.errors import NotAPicture, NotAVolume, Refusal

MIN_SLICES = 2
COSINE_TOLERANCE = 1e-3
"""How far direction cosines may differ or be from orthonormal: about 0.06 degrees, and six digits of a DS."""
SPACING_TOLERANCE = 0.1
SPACING_TOLERANCE_MM = 0.1
"""A step may differ from the median by a tenth of it, or by 0.1 mm: some scanners round positions to that."""
SAME_PLACE_MM = 0.01
SHEAR_TOLERANCE = 0.01
SHEAR_TOLERANCE_MM = 1.0
"""How far a slice may lie beside the straight stack: 1 % of its depth (0.6 degrees of gantry tilt), or 1 mm."""
GAP = 1.5
"""A step of so many medians means that slices are missing."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Where a single-frame instance, or a frame of an enhanced one, lies (PS3.3 C.7.6.2, C.7.6.16.2).

    Attributes:
        row_cosines: of the direction in which the column index grows, LPS.
        column_cosines: of the direction in which the row index grows, LPS.
        position: centre of the first pixel, mm, LPS.
        pixel_spacing: between rows, between columns, mm.
        frame: its number in its instance, from 1.
        frame_of_reference: pseudonymous UID of the space that the position is told in, or "".
    """

    series_instance_uid: str
    rows: int
    columns: int
    row_cosines: tuple[float, float, float]
    column_cosines: tuple[float, float, float]
    position: tuple[float, float, float]
    pixel_spacing: tuple[float, float]
    frame: int = 1
    frame_of_reference: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """What the header of a projection, or of a loop of frames, says of it.

    Attributes:
        number: Instance Number, by which several make a loop.
        pixel_spacing: between rows, between columns, mm; None where the image does not say.
    """

    series_instance_uid: str
    number: int
    frames: int
    rows: int
    columns: int
    pixel_spacing: tuple[float, float] | None


_NOWHERE = (float("nan"),) * 3


@dataclass(frozen=True, slots=True, eq=False)
class Geometry:
    """How slices stack up to a volume, or frames line up.

    Attributes:
        order: for each plane the index of the slice that it comes from.
        shape: planes, rows, columns.
        spacing: between planes, rows, columns, mm; NaN where that is not known.
        direction: 3x3; columns are the LPS unit vectors of column, row and plane index; of pictures the unit matrix.
        origin: centre of the first voxel, mm, LPS; None for pictures.
        frame_of_reference: of the origin, or "".
    """

    order: tuple[int, ...]
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    direction: NDArray[np.float64]
    origin: tuple[float, float, float] | None = None
    frame_of_reference: str = ""

    def offset_of(self, other: Geometry) -> tuple[float, float, float]:
        """From the first voxel to that of `other`, mm, LPS; NaN where they have no frame of reference in common."""
        if self.origin is None or other.origin is None or not self.frame_of_reference:
            return _NOWHERE
        if other.frame_of_reference != self.frame_of_reference:
            return _NOWHERE
        across, down, along = (theirs - ours for ours, theirs in zip(self.origin, other.origin, strict=True))
        return across, down, along


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """A model's answer, as the server gave it: the arrays of the result file that its card promises."""

    labels: NDArray[np.generic] | None = None
    measurements: NDArray[np.generic] | None = None
    probabilities: NDArray[np.generic] | None = None
    map: NDArray[np.generic] | None = None
    boxes: NDArray[np.generic] | None = None
    box_labels: NDArray[np.generic] | None = None
    box_scores: NDArray[np.generic] | None = None
    classes: NDArray[np.generic] | None = None
    image: NDArray[np.generic] | None = None

    def arrays(self) -> dict[Output, NDArray[np.generic]]:
        """What is there, by name."""
        found = {Output(one.name): getattr(self, one.name) for one in fields(self)}
        return {name: array for name, array in found.items() if array is not None}


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What is kept of a job: the answer, where its planes come from, and how it was made.

    Attributes:
        frames: pseudonymous SOP Instance UID and frame number from 1, one a plane.
        compute: timings and means, for people.
    """

    job_id: str
    card: ModelCard
    geometry: Geometry
    frames: tuple[tuple[str, int], ...]
    prediction: Prediction
    compute: Mapping[str, float | str | bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What a version said of an input, to be laid beside another's.

    Attributes:
        frames: as of `Outcome`.
        seconds: that the model took.
    """

    card: ModelCard
    frames: tuple[tuple[str, int], ...]
    arrays: Mapping[Output, NDArray[np.generic]]
    seconds: float


def tensors(
    volumes: Mapping[str, NDArray[Any]], geometry: Geometry, more: Mapping[str, Geometry]
) -> dict[str, NDArray[Any]]:
    """The tensors that a model is given, by their names: each input, and where it lies.

    Args:
        volumes: the inputs by their names, the first one among them.
        geometry: of the first one.
        more: of the others.
    """
    made: dict[str, NDArray[Any]] = {
        MAIN_INPUT: volumes[MAIN_INPUT],
        "spacing": np.array(geometry.spacing, np.float64),
        "direction": np.ascontiguousarray(geometry.direction),
    }
    for name, other in more.items():
        spacing, direction, offset = geometry_names(name)
        made |= {
            name: volumes[name],
            spacing: np.array(other.spacing, np.float64),
            direction: np.ascontiguousarray(other.direction),
            offset: np.array(geometry.offset_of(other), np.float64),
        }
    return made


def stack(slices: Sequence[Slice]) -> Geometry:
    """Sorts slices along their common normal, and makes sure that they are a volume.

    Order comes from Image Position and Image Orientation alone: instance numbers and slice locations may lie.

    Raises:
        NotAVolume: they are none, with the reason.
    """
    if len(slices) < MIN_SLICES:
        raise NotAVolume(Refusal.TOO_FEW, f"it has {_count(len(slices), 'slice')}, and {MIN_SLICES} are the least")
    first = slices[0]
    _same(slices, first)
    across, down = np.array(first.row_cosines), np.array(first.column_cosines)
    gram = np.array([[across @ across, across @ down], [down @ across, down @ down]])
    if not np.allclose(gram, np.eye(2), atol=COSINE_TOLERANCE):
        raise NotAVolume(Refusal.NO_GEOMETRY, "its Image Orientation is not two perpendicular unit vectors")
    across = across / np.linalg.norm(across)
    normal = np.cross(across, down)
    normal /= np.linalg.norm(normal)
    down = np.cross(normal, across)
    positions = np.array([one.position for one in slices])
    order = np.argsort(positions @ normal, kind="stable")
    positions = positions[order]
    step = _even_step(positions @ normal)
    _straight(positions, normal)
    return Geometry(
        order=tuple(int(index) for index in order),
        shape=(len(slices), first.rows, first.columns),
        spacing=(step, *first.pixel_spacing),
        direction=np.stack([across, down, normal], axis=1),
        origin=(float(positions[0][0]), float(positions[0][1]), float(positions[0][2])),
        frame_of_reference=first.frame_of_reference,
    )


def line_up(pictures: Sequence[Picture], kind: InputKind) -> tuple[Geometry, tuple[tuple[int, int], ...]]:
    """The one image, or the frames of a loop in their order.

    Returns:
        The geometry, and for each plane the index of its picture and the number of its frame, from 1.

    Raises:
        NotAPicture: they are no such thing, with the reason.
    """
    if not pictures:
        raise NotAPicture(Refusal.NO_PIXELS, "it holds no image")
    series = len({one.series_instance_uid for one in pictures})
    if series > 1:
        raise NotAPicture(Refusal.SEVERAL_SERIES, f"its instances belong to {series} series")
    frames = sum(one.frames for one in pictures)
    if kind is InputKind.IMAGE and frames > 1:
        raise NotAPicture(Refusal.SEVERAL_IMAGES, f"it holds {frames} images, and the model takes one")
    if kind is InputKind.FRAMES and frames == 1:
        raise NotAPicture(Refusal.NOT_MULTI_FRAME, "it holds a single frame, and the model takes a loop")
    sizes = len({(one.rows, one.columns) for one in pictures})
    if sizes > 1:
        raise NotAPicture(Refusal.MIXED_SIZE, f"its images have {sizes} different sizes")
    ordered = sorted(range(len(pictures)), key=lambda index: pictures[index].number)
    planes = tuple((index, frame) for index in ordered for frame in range(1, pictures[index].frames + 1))
    first = pictures[ordered[0]]
    spacing = first.pixel_spacing if len({one.pixel_spacing for one in pictures}) == 1 else None
    rows, columns = spacing or (float("nan"), float("nan"))
    shape = (len(planes), first.rows, first.columns)
    return Geometry(tuple(range(len(planes))), shape, (float("nan"), rows, columns), np.eye(3)), planes


def _same(slices: Sequence[Slice], first: Slice) -> None:
    series = len({one.series_instance_uid for one in slices})
    if series > 1:
        raise NotAVolume(Refusal.SEVERAL_SERIES, f"its instances belong to {series} series")
    sizes = len({(one.rows, one.columns) for one in slices})
    if sizes > 1:
        raise NotAVolume(Refusal.MIXED_SIZE, f"its slices have {sizes} different sizes")
    spacings = np.array([one.pixel_spacing for one in slices])
    if not np.allclose(spacings, first.pixel_spacing, rtol=1e-3, atol=1e-4):
        raise NotAVolume(Refusal.MIXED_PIXEL_SPACING, "its slices differ in pixel spacing")
    cosines = np.array([(*one.row_cosines, *one.column_cosines) for one in slices])
    differ = int((np.abs(cosines - cosines[0]).max(axis=1) > COSINE_TOLERANCE).sum())
    if differ:
        raise NotAVolume(
            Refusal.MIXED_ORIENTATION, f"{differ} of {len(slices)} slices are oriented otherwise than the first"
        )


def _even_step(depths: NDArray[np.float64]) -> float:
    """The distance between planes in mm; `depths` are sorted."""
    steps = np.diff(depths)
    doubled = int((steps < SAME_PLACE_MM).sum())
    if doubled:
        raise NotAVolume(
            Refusal.DUPLICATE_POSITIONS,
            f"{doubled} of {len(depths)} slices lie where another one lies (several time points or reconstructions?)",
        )
    median = float(np.median(steps))
    off = np.abs(steps - median) > max(SPACING_TOLERANCE * median, SPACING_TOLERANCE_MM)
    gaps = steps > GAP * median
    if off.any() and (off == gaps).all():
        missing = int(np.rint(steps[gaps] / median - 1).sum())
        verb = "is" if missing == 1 else "are"
        raise NotAVolume(
            Refusal.MISSING_SLICES,
            f"about {_count(missing, 'slice')} {verb} missing in {_count(int(gaps.sum()), 'gap')}",
        )
    if off.any():
        raise NotAVolume(
            Refusal.UNEVEN_SPACING,
            f"its slices lie {steps.min():.2f} to {steps.max():.2f} mm apart, "
            f"which is more than {SPACING_TOLERANCE:.0%} off the median of {median:.2f} mm",
        )
    return float((depths[-1] - depths[0]) / len(steps))


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _straight(positions: NDArray[np.float64], normal: NDArray[np.float64]) -> None:
    offsets = positions - positions[0]
    depths = offsets @ normal
    beside = np.linalg.norm(offsets - depths[:, None] * normal, axis=1)
    if (beside > np.maximum(SHEAR_TOLERANCE * depths, SHEAR_TOLERANCE_MM)).any():
        raise NotAVolume(
            Refusal.SHEARED,
            f"its slices are shifted sideways by up to {beside.max():.1f} mm along the stack (a tilted gantry?)",
        )
