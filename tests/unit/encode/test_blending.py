"""The map in colour over the images, as a viewer has to draw it: blended by hand from the written objects alone."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.pixels.processing import apply_color_lut

from services.contracts.card import ResultKind
from services.encode.adapters.highdicom import HighdicomEncoder
from services.encode.model import Document, Kind
from services.encode.plan import kinds_of
from tests.unit.encode.kinds import SOURCES, Source, ct, each_frame_of_its_own, enhanced, everything
from tests.unit.encode.made import COLUMNS, LEFT, OBLIQUE, PLANES, RIGHT, ROWS, SERIES, read
from tests.unit.encode.test_dciodvfy import NEEDED

ENCODER = HighdicomEncoder(omit_empty_frames=True)
WINDOW: dict[str, Any] = {"WindowCenter": "-784", "WindowWidth": "481"}
"""Of the test's slices, whose values go from -1024 to -545: the first is black, the last is white."""


def _documents(source: Source, options: Mapping[str, Any] | None = None, **arrays: Any) -> dict[Kind, Document]:
    told, made = everything(PLANES)
    told["results"] = {"BLEND": dict(options or {})}
    return {one.kind: one for one in ENCODER.encode(source.task(told, **{**made, **arrays})).documents}


# A viewer, by PS3.4 N.2.6, which knows nothing but the objects.


def _place(ds: Dataset, frame: int) -> tuple[float, ...]:
    groups = ds.get("PerFrameFunctionalGroupsSequence")
    at = groups[frame].PlanePositionSequence[0] if groups else ds
    return tuple(round(float(value), 3) for value in at.ImagePositionPatient)


def _slope(ds: Dataset) -> tuple[float, float]:
    shared = ds.get("SharedFunctionalGroupsSequence")
    at = (shared[0].get("PixelValueTransformationSequence") or [Dataset()])[0] if shared else ds
    return float(at.get("RescaleSlope", 1)), float(at.get("RescaleIntercept", 0))


def _frames(references: Sequence[Dataset], store: Mapping[str, Dataset]) -> dict[tuple[float, ...], Any]:
    """The values of an input by the place of their frame in the patient, padding masked; and whose they are."""
    found = {}
    for item in references:
        ds = store[item.ReferencedSOPInstanceUID]
        shape = (int(ds.get("NumberOfFrames", 1)), ds.Rows, ds.Columns)
        if "FloatPixelData" in ds:
            stored = np.frombuffer(ds.FloatPixelData, np.float32).reshape(shape)
            values = np.ma.masked_equal(stored.astype(np.float64), ds.get("FloatPixelPaddingValue", np.inf))
        else:
            slope, intercept = _slope(ds)
            stored = np.frombuffer(ds.PixelData, np.int16).reshape(shape)
            values = np.ma.array(stored * slope + intercept, mask=np.zeros(shape, bool))
        for frame in range(shape[0]):
            found[_place(ds, frame)] = values[frame], (str(ds.SOPInstanceUID), frame + 1)
    return found


def _windowed(values: Any, item: Any) -> Any:
    """0 to 1, by PS3.3 C.11.2.1.2 and C.11.2.1.3.2."""
    centre, width = float(item.WindowCenter), float(item.WindowWidth)
    if item.get("VOILUTFunction") != "LINEAR_EXACT":
        centre, width = centre - 0.5, width - 1
    return np.clip((values - centre) / width + 0.5, 0, 1)


def _coloured(values: Any, item: Dataset) -> Any:
    (table,) = item.PaletteColorLookupTableSequence
    parts = []
    for colour in ("Red", "Green", "Blue"):
        entries, first, bits = table[f"{colour}PaletteColorLookupTableDescriptor"].value
        assert (entries, first, bits) == (256, 0, 16)
        parts.append(np.frombuffer(table[f"{colour}PaletteColorLookupTableData"].value, np.uint16) / 65535)
    index = np.round(values.filled(0) * 255).astype(int)
    return np.stack([part[index] for part in parts], axis=-1)


def _for(item: Dataset, name: tuple[str, int]) -> Any:
    """The transformation of a frame: the one that names it, or that names none."""
    for voi in item.get("SoftcopyVOILUTSequence") or []:
        named = voi.get("ReferencedImageSequence")
        if named is None:
            return voi
        for one in named:
            frames = one.get("ReferencedFrameNumber")
            if one.ReferencedSOPInstanceUID == name[0] and (frames is None or name[1] in np.atleast_1d(frames)):
                return voi
    return None


def shown(state: Dataset, store: Mapping[str, Dataset]) -> dict[tuple[float, ...], NDArray[np.float64]]:
    """What a viewer shows, red, green and blue from 0 to 1, by the place of the plane in the patient."""
    inputs = {item.BlendingInputNumber: item for item in state.AdvancedBlendingSequence}
    frames = {number: _frames(item.ReferencedImageSequence, store) for number, item in inputs.items()}
    (geometry,) = (number for number, item in inputs.items() if item.GeometryForDisplay == "TRUE")
    (display,) = state.BlendingDisplaySequence
    assert (display.BlendingMode, state.PixelPresentation) == ("FOREGROUND", "TRUE_COLOR")
    first, second = (one.BlendingInputNumber for one in display.BlendingDisplayInputSequence)
    pictures = {}
    for place in frames[geometry]:
        drawn = []
        for number in (first, second):
            values, name = frames[number][place]
            colours = _coloured(_windowed(values, _for(inputs[number], name)), inputs[number])
            drawn.append((colours, np.ma.getmaskarray(values)[..., None]))
        (front, no_front), (back, no_back) = drawn
        mixed = display.RelativeOpacity * front + (1 - display.RelativeOpacity) * back
        pictures[place] = np.where(no_front, back, np.where(no_back, front, mixed))
    return pictures


def _store(source: Source, documents: Mapping[Kind, Document]) -> dict[str, Dataset]:
    every = [*(dcmread(BytesIO(file)) for file in source.files), read(documents[Kind.PM])]
    return {str(ds.SOPInstanceUID): ds for ds in every}


# What is due, from what the test put in: the left box is 1.5, the right one 3, nothing elsewhere.


def _due(grey: Any, colour: Sequence[int], opacity: float) -> Any:
    return opacity * np.array(colour) / 255 + (1 - opacity) * np.repeat(np.asarray(grey)[..., None], 3, axis=-1)


SHADES = (0, round(255 * 0.375), round(255 * 0.75))
"""Where the least, the middle and the most lie on a palette: it ends in white, which over grey is no colour."""
DARKEST, HALF, BRIGHTEST = (tuple(apply_color_lut(np.array([[n]], np.uint8), palette="HOT_IRON")[0, 0]) for n in SHADES)


@pytest.mark.parametrize(
    "source",
    [
        ct(**WINDOW),
        ct(OBLIQUE, **WINDOW),
        ct(OBLIQUE, backwards=True, **WINDOW),
        enhanced(OBLIQUE, backwards=False),
        enhanced(OBLIQUE, backwards=True),
    ],
    ids=["axial", "oblique", "from the head", "enhanced", "enhanced, reversed"],
)
def test_the_picture_is_the_source_in_grey_and_the_map_in_colour_where_the_patient_has_it(source: Source) -> None:
    documents = _documents(source)
    assert list(documents) == [Kind.PM, Kind.BLEND], "the map that it shows comes with it"
    store = _store(source, documents)
    pictures = shown(read(documents[Kind.BLEND]), store)
    sources = _frames([_reference(ds) for ds in store.values() if ds.SeriesInstanceUID == SERIES], store)
    assert set(pictures) == set(sources)
    # The planes of the result in the order of the frames that the model was given.
    order = [dcmread(BytesIO(file)) for file in source.files]
    if len(order) == 1:
        places = [_place(order[0], frame.number - 1) for frame in source.frames]
    else:
        places = [_place(ds, 0) for ds in order]
    low, width = (-1024.0, 1499.0) if len(order) == 1 else (-1024.0, 480.0)
    for plane, place in enumerate(places):
        grey = np.round(255 * np.clip((sources[place][0].data - low) / width, 0, 1)) / 255
        expected = np.repeat(grey[..., None], 3, axis=-1)
        if LEFT[0].start <= plane < LEFT[0].stop:
            expected[LEFT[1:]] = _due(grey[LEFT[1:]], DARKEST, 0.4)
        if RIGHT[0].start <= plane < RIGHT[0].stop:
            expected[RIGHT[1:]] = _due(grey[RIGHT[1:]], BRIGHTEST, 0.4)
        np.testing.assert_allclose(pictures[place], expected, atol=0.005, err_msg=str(plane))


def _reference(ds: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    return item


def test_values_between_the_ends_have_the_colours_between_them_and_the_card_may_set_palette_and_opacity() -> None:
    heat = np.full((PLANES, ROWS, COLUMNS), np.nan, np.float32)
    heat[3, 5, 6], heat[3, 5, 7], heat[3, 5, 8] = -0.25, 0.0, 0.25  # a width below 1, and values below 0
    source = ct(**WINDOW)
    documents = _documents(source, map=heat)
    place = _place(read_source(source, 3), 0)
    grey = np.round(255 * (5 * COLUMNS + np.array([6, 7, 8])) / 480) / 255
    picture = shown(read(documents[Kind.BLEND]), _store(source, documents))[place]
    expected = [_due(grey[n], colour, 0.4) for n, colour in enumerate((DARKEST, HALF, BRIGHTEST))]
    np.testing.assert_allclose(picture[5, 6:9], expected, atol=0.005)

    other = _documents(source, {"palette": "pet", "opacity": 0.75}, map=heat)
    picture = shown(read(other[Kind.BLEND]), _store(source, other))[place]
    pet = [apply_color_lut(np.array([[n]], np.uint8), palette="PET")[0, 0] for n in SHADES]
    np.testing.assert_allclose(
        picture[5, 6:9], [_due(grey[n], colour, 0.75) for n, colour in enumerate(pet)], atol=0.005
    )
    (table,) = read(other[Kind.BLEND]).AdvancedBlendingSequence[1].PaletteColorLookupTableSequence
    assert table.PaletteColorLookupTableUID == "1.2.840.10008.1.5.2"


def test_a_map_of_one_value_is_bright_and_whatever_is_on_the_map_is_in_colour() -> None:
    heat = np.full((PLANES, ROWS, COLUMNS), np.nan, np.float32)
    heat[3] = 2.0
    source = ct(**WINDOW)
    documents = _documents(source, map=heat)
    picture = shown(read(documents[Kind.BLEND]), _store(source, documents))[_place(read_source(source, 3), 0)]
    grey = np.round(255 * np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS) / 480) / 255
    np.testing.assert_allclose(picture, _due(grey, BRIGHTEST, 0.4), atol=0.005)
    assert (picture[..., 0] - picture[..., 2] > 0.3).all()


def read_source(source: Source, plane: int) -> Dataset:
    return dcmread(BytesIO(source.files[plane]))


def test_slices_with_windows_and_rescales_of_their_own_keep_them() -> None:
    """As PET has them: the window of each slice, its rescale from its own header."""
    files = []
    for plane, file in enumerate(ct(**WINDOW).files):
        ds = dcmread(BytesIO(file))
        ds.RescaleSlope, ds.RescaleIntercept = str(1 + plane), "0"
        ds.WindowCenter, ds.WindowWidth = str(240 * (1 + plane)), str(480 * (1 + plane))
        out = BytesIO()
        ds.save_as(out, enforce_file_format=True)
        files.append(out.getvalue())
    source = Source(files, ct().frames, "volume")
    documents = _documents(source)
    state = read(documents[Kind.BLEND])
    assert len(state.AdvancedBlendingSequence[0].SoftcopyVOILUTSequence) == PLANES
    pictures = shown(state, _store(source, documents))
    corner = [pictures[_place(dcmread(BytesIO(file)), 0)][-1, -1] for file in files]
    np.testing.assert_allclose(corner, 1, atol=0.005)  # 479 of 480, on each slice alike


def test_frames_with_windows_and_rescales_of_their_own_keep_them() -> None:
    source = each_frame_of_its_own(enhanced())
    state = read(_documents(source)[Kind.BLEND])
    windows = state.AdvancedBlendingSequence[0].SoftcopyVOILUTSequence
    told = {voi.ReferencedImageSequence[0].ReferencedFrameNumber: float(voi.WindowCenter) for voi in windows}
    assert told == {frame: 2000 * frame for frame in range(1, PLANES + 1)}
    assert "RescaleSlope" not in state.AdvancedBlendingSequence[0], "it has no place here: each frame has its own"


def test_it_says_on_screen_that_nobody_verified_it_and_what_the_colours_are() -> None:
    state = read(_documents(ct(**WINDOW))[Kind.BLEND])
    (annotation,) = state.GraphicAnnotationSequence
    assert "ReferencedImageSequence" not in annotation, "on every image"
    (text,) = annotation.TextObjectSequence
    assert text.UnformattedTextValue == (
        "AI, unverified: enhancement from 1.5 (dark) to 3 (bright) Standardized Uptake Value body weight"
    )
    assert state.GraphicLayerSequence[0].GraphicLayerDescription == "Made by an algorithm, not verified by a person"
    assert (state.Modality, state.ContentLabel) == ("PR", "ENHANCEMENT")


@NEEDED
def test_dciodvfy_knows_the_windows_and_palettes_of_the_inputs_by_its_newer_profile(tmp_path: Path) -> None:
    path = tmp_path / "state.dcm"
    path.write_bytes(_documents(enhanced())[Kind.BLEND].data)
    command = ["dciodvfy", "-profile", "IDCVOIPaletteOpticalPath", str(path)]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stderr.splitlines()
    assert told[0].startswith("AdvancedBlendingSoftcopyPresentationStateIDC")
    assert [line for line in told[1:] if line.startswith("Error") or "Palette" in line or "Window" in line] == []


def test_a_map_without_a_value_is_not_laid_over_anything() -> None:
    documents = _documents(ct(), map=np.full((PLANES, ROWS, COLUMNS), np.nan, np.float32))
    assert list(documents) == [Kind.PM]


def test_over_a_projection_the_map_is_a_picture() -> None:
    source = SOURCES["CR"]()
    told, arrays = everything(1, results=["BLEND"])
    task = source.task(told, **arrays)
    assert list(kinds_of(task.result)) == [ResultKind.SC]
    assert {document.kind for document in ENCODER.encode(task).documents} == {Kind.SC}


@pytest.mark.parametrize("options", [{"palette": "RAINBOW"}, {"opacity": 1}, {"opacity": "half"}, {"opacity": True}])
def test_what_no_presentation_state_can_hold_leaves_it_out_and_the_map_is_there(options: dict[str, Any]) -> None:
    told, arrays = everything(PLANES)
    made = ENCODER.encode(ct().task({**told, "results": {"BLEND": options}}, **arrays))
    assert [one.kind for one in made.documents] == [Kind.PM]
    assert [(one.kind, one.reason_code) for one in made.left_out] == [("BLEND", "options-unusable")]
