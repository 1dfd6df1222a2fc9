"""Where a face is: found in every direction of slices, with no part of the brain taken; or said not to be known."""

import numpy as np
import pytest

from services.pixels.faces import Coarse, Doubt, NoFace, Plane, coarse, face_of
from tests.unit.anonymise.defacing.heads import DIRECTIONS, Slice, parts, slices


def found(given: list[Slice], *, hounsfield: bool = False) -> list[np.ndarray]:
    values = [one.values * 4.0 - 1000 if hounsfield else one.values for one in given]
    cut = face_of([coarse(value, one.plane) for value, one in zip(values, given, strict=True)], hounsfield=hounsfield)
    return [cut.taken(one.plane, *one.values.shape) for one in given]


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_face_is_taken_and_the_brain_is_not_in_every_direction(direction: str) -> None:
    given = list(slices(direction))
    taken = found(given[::-1] if "from" in direction else given)
    taken = taken[::-1] if "from" in direction else taken
    for one, gone in zip(given, taken, strict=True):
        assert not (gone & one.parts.brain).any()
        assert not (one.parts.face & ~gone).any()
    skin = sum(int(one.parts.skin.sum()) for one in given)
    assert 0.05 < sum(int((gone & one.parts.skin).sum()) for one, gone in zip(given, taken, strict=True)) / skin < 0.25


@pytest.mark.parametrize(("spacing", "apart", "tilt"), [(1.5, 3.0, 0.0), (4.0, 7.0, 15.0), (4.0, 7.0, -15.0)])
def test_thick_thin_and_oblique_slices_are_the_same_to_it(spacing: float, apart: float, tilt: float) -> None:
    given = list(slices("axial", size=int(288 / spacing), spacing=spacing, apart=apart, tilt=tilt))
    for one, gone in zip(given, found(given), strict=True):
        assert not (gone & one.parts.brain).any() and not (one.parts.face & ~gone).any()


def test_it_is_the_same_in_hounsfield_units_and_every_time() -> None:
    given = list(slices("axial"))
    assert all(np.array_equal(one, other) for one, other in zip(found(given), found(given), strict=True))
    for one, gone in zip(given, found(given, hounsfield=True), strict=True):
        assert not (gone & one.parts.brain).any() and not (one.parts.face & ~gone).any()


def test_what_is_left_has_a_plane_where_the_face_was() -> None:
    """Seen from the front, the depth of what is left says nothing of nose, lips and chin: it is one plane."""
    given = list(slices("axial"))
    depths = []
    for one, gone in zip(given, found(given), strict=True):
        column = (one.parts.skin & ~gone)[:, 34:38]
        if gone.any() and column.any():
            depths.append((one.plane.origin[2], float(column.argmax(axis=0).mean())))
    heights, depth = np.array([each for each in depths if -85 < each[0] < -15]).T
    line = np.polyval(np.polyfit(heights, depth, 1), heights)
    assert np.abs(depth - line).max() < 1  # pixel


def test_time_points_at_the_same_places_count_once() -> None:
    given = list(slices("axial"))
    assert all(
        np.array_equal(one, other) for one, other in zip(found(given * 2)[: len(given)], found(given), strict=True)
    )


def why(frames: list[Coarse]) -> Doubt:
    with pytest.raises(NoFace) as answer:
        face_of(frames, hounsfield=False)
    return answer.value.doubt


def frames(given: list[Slice]) -> list[Coarse]:
    return [coarse(one.values, one.plane) for one in given]


def test_what_is_no_volume_is_not_judged() -> None:
    axial, sagittal = frames(list(slices("axial"))), frames(list(slices("sagittal")))
    assert why([]) is Doubt.NO_VOLUME
    assert why(sagittal[26:27]) is Doubt.NO_VOLUME  # a profile
    assert why([*axial, sagittal[26]]) is Doubt.NO_VOLUME
    assert why(axial[:20] + axial[25:]) is Doubt.NO_VOLUME  # a gap
    assert why(axial[::4]) is Doubt.NO_VOLUME


def test_what_is_no_head_is_not_judged() -> None:
    given = list(slices("axial"))
    assert why([one._replace(values=np.zeros_like(one.values)) for one in frames(given)]) is Doubt.NO_CAP
    assert why([one._replace(values=np.full_like(one.values, 9)) for one in frames(given)]) is Doubt.NO_CAP
    small = [one._replace(plane=Plane(*(tuple(0.4 * v for v in each) for each in one.plane))) for one in given]  # type: ignore[arg-type]
    assert why(frames(small)) in (Doubt.NO_CAP, Doubt.NO_VOLUME)  # an apple
    box = [
        Slice(
            one.plane,
            one.parts,
            np.where((np.abs(one.plane.points(72, 72)) < (150, 90, 200)).all(axis=-1), 400, 0),
        )
        for one in given
    ]
    assert why(frames(box)) is Doubt.NO_CAP  # a trunk
    assert why(frames(given[:24])) is Doubt.NO_CAP  # a chin and a neck


def turned(axis: str, degrees: float) -> list[Slice]:
    """A head that nods (to the back when negative) or looks aside in slices that stay where they are."""
    angle = np.deg2rad(degrees)
    cos, sin = np.cos(angle), np.sin(angle)
    nod, aside = [[1, 0, 0], [0, cos, -sin], [0, sin, cos]], [[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]
    made = []
    for one in slices("axial"):
        found = parts(one.plane.points(*one.values.shape) @ np.array(nod if axis == "nod" else aside))
        made.append(Slice(one.plane, found, (400 * found.skin + 200 * found.brain).astype(np.int16)))
    return made


@pytest.mark.parametrize(("axis", "degrees"), [("nod", -5), ("aside", 5), ("aside", -5)])
def test_a_head_that_is_a_little_turned_loses_its_face_and_no_brain(axis: str, degrees: float) -> None:
    given = turned(axis, degrees)
    for one, gone in zip(given, found(given), strict=True):
        assert not (gone & one.parts.brain).any() and not (one.parts.face & ~gone).any()


@pytest.mark.parametrize(("axis", "degrees"), [("nod", -20), ("nod", -10), ("aside", 20), ("aside", -30)])
def test_a_head_that_is_tipped_back_or_looks_aside_is_not_judged(axis: str, degrees: float) -> None:
    assert why(frames(turned(axis, degrees))) is Doubt.TURNED


def test_front_and_back_that_were_taken_for_each_other_are_seen() -> None:
    wrong = []
    for one in slices("axial"):
        turned = parts(one.plane.points(*one.values.shape) * (-1, -1, 1))
        wrong.append(one._replace(values=(400 * turned.skin).astype(np.int16)))
    assert why(frames(wrong)) is Doubt.REVERSED
