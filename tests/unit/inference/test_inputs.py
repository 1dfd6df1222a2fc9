"""Enhanced objects, projections and loops: what a model gets of each, and what is refused with a readable reason."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from services.chassis.faults import PermanentFault
from services.contracts.card import CardError, ModelCard
from services.contracts.events import JobReleased
from services.contracts.tensors import Units, promised, units_of
from services.contracts.work import manifest_key, result_key
from services.inference.adapters.npz import NpzResults
from services.inference.adapters.pydicom import PydicomReader
from services.inference.errors import NotAPicture, Refusal
from services.inference.handlers import Limits, infer_job
from services.inference.model import Geometry, Prediction
from tests.unit.inference.fakes import CARD, FakeCards, FakeEvents, FakeModels, FakeWork
from tests.unit.inference.pictures import enhanced, item, loop, radiograph
from tests.unit.inference.series import make_slice

FINDING = {"name": "Seen", "type": {"code": "52101004", "scheme": "SCT", "meaning": "Present"}}
ORDER = [2, 0, 3, 1]
POSITIONS = [[-10.0, -20.0, 2.0 * place] for place in ORDER]
READER = PydicomReader()


def card(kind: str, units: str) -> ModelCard:
    return ModelCard.from_mapping(
        {
            **{key: value for key, value in CARD.items() if key not in ("labels", "measurements")},
            "task": "classification",
            "classes": [FINDING],
            "input": {"kind": kind, "units": units},
        }
    )


def store(files: Sequence[bytes]) -> FakeWork:
    names = [f"{number:05}.dcm" for number in range(len(files))]
    instances = [
        {"file": name, "sop_instance_uid": f"2.25.{number}", "sha256": hashlib.sha256(data).hexdigest()}
        for number, (name, data) in enumerate(zip(names, files, strict=True))
    ]
    manifest = {"schema": 1, "job_id": "job1", "model": "toy", "model_version": "1.0.0", "instances": instances}
    folder = "jobs/job1/input"
    return FakeWork(
        {f"{folder}/{name}": data for name, data in zip(names, files, strict=True)}
        | {f"{folder}/manifest.json": json.dumps(manifest).encode()}
    )


async def run(files: Sequence[bytes], kind: str, units: str) -> tuple[NDArray[Any], Geometry, Any]:
    """What the model gets, and what the result file says."""
    seen: list[tuple[NDArray[Any], Geometry]] = []

    def answer(volume: NDArray[Any], geometry: Geometry) -> Prediction:
        seen.append((volume.copy(), geometry))
        return Prediction(classes=np.array([0.5], np.float32))

    work = store(files)
    await infer_job(
        JobReleased("job1", "toy", "1.0.0", manifest_key("job1"), len(files), 1),
        cards=FakeCards(card(kind, units)),
        work=work,
        reader=READER,
        models=FakeModels(answer),
        results=NpzResults(),
        events=FakeEvents(),
        limits=Limits(),
    )
    meta = json.loads(np.load(BytesIO(work.files[result_key("job1")]))["meta"].tobytes())
    return *seen[0], meta


async def refused(files: Sequence[bytes], kind: str, units: str) -> tuple[str, str]:
    with pytest.raises(PermanentFault) as caught:
        await run(files, kind, units)
    return caught.value.code, caught.value.reason


def stored(frames: int = 4) -> NDArray[np.int16]:
    return (np.arange(frames)[:, None, None] * 100 + np.arange(30).reshape(5, 6)).astype(np.int16)


async def test_an_enhanced_ct_is_a_volume_whose_planes_are_its_frames_by_position() -> None:
    pixels = stored()
    volume, geometry, meta = await run([enhanced(pixels, POSITIONS)], "volume", "HU")
    planes = np.argsort(ORDER)
    assert volume.dtype == np.int16 and np.array_equal(volume, pixels[planes] - 1000)
    assert geometry.spacing == (2.0, 0.8, 0.7) and meta["origin"] == [-10, -20, 0]
    assert meta["frames"] == [["2.25.0", int(frame) + 1] for frame in planes]


async def test_an_enhanced_mr_with_a_fractional_slope_keeps_its_fractions() -> None:
    pixels = stored()
    file = enhanced(pixels, POSITIONS, modality="MR", slope=0.125, rescale_type="US")
    volume, _, _ = await run([file], "volume", "stored")
    assert volume.dtype == np.float32 and np.allclose(volume, pixels[np.argsort(ORDER)] * 0.125)


async def test_an_enhanced_header_longer_than_the_first_read_is_read_whole() -> None:
    count = 400
    places = [[0.0, 0.0, float(place)] for place in range(count)]
    volume, _, _ = await run([enhanced(stored(count), places)], "volume", "HU")
    assert volume.shape == (count, 5, 6)


async def test_mr_slices_without_rescale_are_what_is_stored_and_are_no_hounsfield_units() -> None:
    def mr(ds: Dataset, index: int) -> None:
        ds.Modality = "MR"
        del ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType

    slices = [make_slice(index, mr) for index in range(3)]
    volume, _, _ = await run(slices, "volume", "stored")
    assert volume.dtype == np.float32 and volume[2, 0, 1] == 201
    assert (await refused(slices, "volume", "HU"))[0] == Refusal.NO_RESCALE


async def test_uptake_values_are_taken_as_they_are_and_becquerels_are_refused_with_what_to_do() -> None:
    def pet(units: str) -> Any:
        def change(ds: Dataset, index: int) -> None:
            ds.Modality, ds.Units, ds.RescaleSlope, ds.RescaleIntercept = "PT", units, 0.5, 0

        return change

    volume, _, _ = await run([make_slice(index, pet("GML")) for index in range(3)], "volume", "SUVbw")
    assert volume[1, 0, 1] == pytest.approx(50.5)
    code, reason = await refused([make_slice(index, pet("BQML")) for index in range(3)], "volume", "SUVbw")
    assert code == Refusal.NOT_SUV and "normalised by body weight" in reason


@pytest.mark.parametrize(
    ("positions", "refusal", "words"),
    [
        ([[0, 0, z] for z in (0, 2, 4, 12)], Refusal.MISSING_SLICES, "about 3 slices are missing"),
        ([[0, 0, z] for z in (0, 2, 0, 2)], Refusal.DUPLICATE_POSITIONS, "several time points"),
        ([[0, 0.5 * z, z] for z in (0, 2, 4, 6)], Refusal.SHEARED, "tilted gantry"),
    ],
)
async def test_frames_that_are_no_volume_are_refused_as_slices_are(
    positions: list[list[float]], refusal: Refusal, words: str
) -> None:
    code, reason = await refused([enhanced(stored(), positions)], "volume", "HU")
    assert code == refusal and words in reason


async def test_a_frame_that_is_turned_against_the_others_is_refused() -> None:
    def turned(ds: Dataset) -> None:
        ds.PerFrameFunctionalGroupsSequence[1].PlaneOrientationSequence = [
            item(ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
        ]

    code, reason = await refused([enhanced(stored(), POSITIONS, change=turned)], "volume", "HU")
    assert code == Refusal.MIXED_ORIENTATION and "1 of 4" in reason


async def test_an_enhanced_object_that_leaves_frames_undescribed_or_has_one_frame_is_refused() -> None:
    def cut(ds: Dataset) -> None:
        ds.PerFrameFunctionalGroupsSequence.pop()

    assert (await refused([enhanced(stored(), POSITIONS, change=cut)], "volume", "HU"))[0] == Refusal.NO_GEOMETRY
    assert (await refused([enhanced(stored(1), [[0, 0, 0]])], "volume", "HU"))[0] == Refusal.TOO_FEW


async def test_a_loop_is_no_volume_and_an_image_in_colour_has_no_grey_values() -> None:
    grey, colour = np.zeros((3, 4, 5), np.uint8), np.zeros((3, 4, 5, 3), np.uint8)
    assert (await refused([loop(grey)], "volume", "stored"))[0] == Refusal.MULTI_FRAME
    code, reason = await refused([loop(colour)], "frames", "display")
    assert code == Refusal.COLOUR and "takes grey values" in reason
    code, reason = await refused([loop(grey)], "frames", "RGB")
    assert code == Refusal.GREY and "takes colour" in reason


async def test_a_loop_is_its_frames_with_the_spacing_of_its_region() -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (3, 4, 6), np.uint8)
    volume, geometry, meta = await run([loop(pixels)], "frames", "stored")
    assert np.array_equal(volume, pixels) and geometry.spacing[1:] == pytest.approx((0.2, 0.1))
    assert meta["frames"] == [["2.25.0", frame] for frame in (1, 2, 3)]
    assert meta["spacing"][0] is None and meta["origin"] is None and meta["direction"] is None


async def test_a_loop_in_colour_comes_in_three_bytes_a_pixel() -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (3, 4, 6, 3), np.uint8)
    volume, _, _ = await run([loop(pixels)], "frames", "RGB")
    assert volume.dtype == np.uint8 and np.array_equal(volume, pixels)


async def test_a_projection_for_display_is_windowed_to_0_and_1_and_white_is_white() -> None:
    pixels = np.array([[0, 100], [200, 400]], np.uint16)

    def windowed(photometric: str) -> bytes:
        def change(ds: Dataset) -> None:
            ds.WindowCenter, ds.WindowWidth, ds.PhotometricInterpretation = 150.5, 101, photometric
            ds.BitsStored, ds.HighBit = 12, 11

        return radiograph(pixels, change)

    plain, geometry, _ = await run([windowed("MONOCHROME2")], "image", "display")
    assert plain.shape == (1, 2, 2) and np.allclose(plain[0], [[0, 0], [1, 1]], atol=0.01)
    assert geometry.spacing[1:] == (0.2, 0.3)
    inverted, _, _ = await run([windowed("MONOCHROME1")], "image", "display")
    assert np.allclose(inverted, 1 - plain)
    turned, _, _ = await run([windowed("MONOCHROME1")], "image", "stored")
    assert np.array_equal(turned[0], 4095 - pixels.astype(np.float32))


async def test_a_modality_lut_is_applied() -> None:
    def lut(ds: Dataset) -> None:
        ds.ModalityLUTSequence = [item(LUTDescriptor=[4, 0, 16], ModalityLUTType="US")]
        ds.ModalityLUTSequence[0].add_new("LUTData", "US", [10, 20, 40, 80])

    volume, _, _ = await run([radiograph(np.array([[0, 1], [2, 3]], np.uint16), lut)], "image", "stored")
    assert np.array_equal(volume[0], [[10, 20], [40, 80]])


async def test_two_images_where_one_is_due_and_one_frame_where_a_loop_is_due_are_refused() -> None:
    image = radiograph(np.zeros((2, 2), np.uint16))
    code, reason = await refused([image, image], "image", "stored")
    assert code == Refusal.SEVERAL_IMAGES and "2 images, and the model takes one" in reason
    assert (await refused([image], "frames", "stored"))[0] == Refusal.NOT_MULTI_FRAME


@pytest.mark.parametrize(("kind", "units"), [("volume", "RGB"), ("image", "HU"), ("volume", "HUS")])
def test_units_that_a_kind_of_input_cannot_have_are_refused_with_the_card(kind: str, units: str) -> None:
    with pytest.raises(CardError, match="asks for"):
        units_of(card(kind, units))


def test_an_output_that_the_card_does_not_describe_is_refused_with_the_card() -> None:
    with pytest.raises(CardError, match="output map and lacks the key 'map'"):
        promised(ModelCard.from_mapping({**CARD, "outputs": ["labels", "map"]}))


def test_shared_files_of_other_makers_are_read(shared_data: Any) -> None:
    folder = shared_data / "multiframe"
    slices = READER.slices((folder / "legacy-converted-enhanced-ct-3frames.dcm").read_bytes(), Units.STORED)
    assert [one.frame for one in slices] == [1, 2, 3] and len({one.position for one in slices}) == 3
    picture = READER.picture((shared_data / "xray" / "mg-3062x2394-jpegll.dcm").read_bytes(), Units.DISPLAY)
    assert (picture.rows, picture.columns, picture.frames) == (3062, 2394, 1)
    loop_file = (folder / "us-palette-10frames-rle.dcm").read_bytes()
    with pytest.raises(NotAPicture):
        READER.picture(loop_file, Units.DISPLAY)
    told = READER.picture(loop_file, Units.RGB)
    colours = np.zeros((told.frames, told.rows, told.columns, 3), np.uint8)
    READER.decode(loop_file, Units.RGB, dict(enumerate(colours, start=1)))
    assert all(frame.any() for frame in colours)
