"""Packages that our runner serves, on a real Triton: declared networks and confined code."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psutil
import pytest
from pydicom.dataset import Dataset

from services.catalogue.adapters import triton as serving
from services.catalogue.adapters.folder import FolderPackages
from services.catalogue.adapters.overlay import OverlayPictures
from services.catalogue.checking import compare
from services.catalogue.model import State, Version
from services.chassis.health import Health
from services.chassis.log import Log
from services.contracts.card import ModelCard
from services.inference.adapters import triton
from services.inference.errors import ModelFailed
from services.inference.model import Geometry, Prediction
from services.inference.promises import check
from services.inference.settings import SharedMemory
from services.launcher.authoring import trial
from services.launcher.settings import Settings
from tests.integration.inference_parts import compared_card, everything_card
from tests.packages import keep_shipped, shipped_cards
from tests.unit.inference.fakes import CARD
from tests.unit.inference.networks import network
from tests.unit.inference.series import make_slice
from tests.unit.models.phantom import SPACING, chest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def cards() -> dict[str, ModelCard]:
    return shipped_cards()


async def ask(address: str, card: ModelCard, volume: np.ndarray, mode: SharedMemory = SharedMemory.AUTO) -> Prediction:
    """The answer of a package, checked, copied out of its room."""
    geometry = Geometry(tuple(range(len(volume))), volume.shape, tuple(SPACING), np.eye(3))
    async with (
        triton.connected(address, shared_memory=mode, log=Log("test"), health=Health()) as models,
        models.room(card, volume.shape) as room,
    ):
        room.volume[:] = volume
        answer = await room.infer(geometry)
        check(answer, card, volume.shape)
        return Prediction(**{name: array.copy() for name, array in answer.arrays().items()})


async def test_every_package_that_is_shipped_passes_its_own_cases_on_triton_with_a_picture(
    triton_address: str,
    cards: dict[str, ModelCard],
    tmp_path: Path,
) -> None:
    packages = FolderPackages(tmp_path, max_bytes=1 << 30)
    keep_shipped(tmp_path)
    async with serving.connected(triton_address, tmp_path / "unused", load_seconds=1) as server:
        for card in cards.values():
            version = Version(card.name, card.version, "", State.DRAFT, card.source, "", datetime.now(UTC))
            (case,) = packages.cases(version)
            outputs = await server.infer(card.served, case.inputs, seconds=60)
            assert compare(case, outputs, card)[1] == [], card.name
            picture = OverlayPictures().overlay(card, case.inputs, outputs)
            assert picture is not None and picture.startswith(b"\x89PNG")
            for file in packages.folder(version).glob("tests/*/*.npz"):
                assert file.stat().st_size < 300_000, file


async def test_a_network_without_code_finds_boxes_or_none(
    triton_address: str,
    triton_settings: Settings,
    tmp_path: Path,
) -> None:
    (tmp_path / "network.onnx").write_bytes(network([1], [0]))
    block = {"activation": "threshold", "boxes": {"from": "map"}, "intensity": [{"scale": {"low": -100, "high": 300}}]}
    said = {"kind": "onnx", "task": "detection", "measurements": [], "input": {"kind": "volume", "units": "HU"}}
    card = ModelCard.from_mapping({**CARD, **said, "name": "boxes", "processing": block})
    repository = triton_settings.data / "triton" / "models"
    volume = np.full((6, 20, 20), -100, np.int16)
    async with serving.connected(triton_address, repository, load_seconds=60) as server:
        await server.serve(card.served, tmp_path, card)
        nothing = await ask(triton_address, card, volume)
        volume[1:4, 5:9, 10:18] = 300
        answer = await ask(triton_address, card, volume)
        await server.withdraw(card.served)
    assert nothing.boxes is not None and nothing.boxes.shape == (0, 6)
    assert answer.boxes is not None and answer.boxes.tolist() == [[0.5, 4.5, 9.5, 3.5, 8.5, 17.5]]
    assert answer.box_scores is not None and answer.box_scores.tolist() == [1]


async def test_an_application_and_a_tool_without_a_picture_answer(
    triton_address: str,
    cards: dict[str, ModelCard],
) -> None:
    phantom = chest()
    phantom.hu[0, :9, :9] = -100
    fat = await ask(triton_address, cards["ct-fat"], phantom.hu, SharedMemory.OFF)
    assert fat.labels is not None and fat.labels[0, 4, 4] == 1
    body = await ask(triton_address, cards["ct-body"], phantom.hu)
    assert body.labels is None and body.measurements is not None and body.measurements[0, 0] > 1000


async def test_what_a_tool_refuses_fails_that_request_and_no_other(
    triton_address: str,
    cards: dict[str, ModelCard],
) -> None:
    image = np.zeros((1, 60, 80), np.float32)
    with pytest.raises(ModelFailed, match="cannot process this image"):
        await ask(triton_address, cards["xr-body"], np.zeros((2, 60, 80), np.float32))
    image[0, 20:40, 20:60] = 1
    answer = await ask(triton_address, cards["xr-body"], image)
    assert answer.labels is not None and answer.labels[0, 30, 40] == 1 and answer.labels[0, 5, 5] == 0


@pytest.mark.parametrize("mode", [SharedMemory.ON, SharedMemory.OFF])
async def test_every_output_comes_back_from_a_loop_in_colour_however_tensors_travel(
    triton_address: str,
    mode: SharedMemory,
) -> None:
    loop = np.random.default_rng(4).integers(0, 255, (3, 20, 30, 3), np.uint8)
    card = everything_card()
    geometry = Geometry((0, 1, 2), (3, 20, 30), (np.nan, np.nan, np.nan), np.eye(3))
    async with (
        triton.connected(triton_address, shared_memory=mode, log=Log("test"), health=Health()) as models,
        models.room(card, geometry.shape) as room,
    ):
        room.volume[:] = loop
        answer = await room.infer(geometry)
        check(answer, card, geometry.shape)
        red = loop[..., 0]
        found = {str(name): np.array(array) for name, array in answer.arrays().items()}
    assert found["labels"].dtype == np.uint16 and np.array_equal(found["labels"], np.where(red > 100, 300, 0))
    assert np.array_equal(found["probabilities"][0], red) and np.array_equal(found["map"], red)
    assert np.array_equal(found["image"], 255 - loop) and found["classes"].tolist() == [0.75]
    assert found["boxes"].tolist() == [[0, 1, 1, 0, 2, 2]] and found["box_scores"].tolist() == [0.5]


def test_a_package_is_tried_on_a_folder_without_a_mesh(tmp_path: Path) -> None:
    def plain(ds: Dataset, index: int) -> None:
        ds.Rows, ds.Columns, ds.PixelData = 32, 32, np.full((32, 32), 924, np.int16).tobytes()

    for index in range(4):
        (tmp_path / f"{index}.dcm").write_bytes(make_slice(index, plain))
    outcome, given = trial.try_package(ROOT / "models" / "ct-fat", tmp_path)
    volume = given["volume"].volume
    assert outcome.prediction.labels is not None and (volume == -100).all()
    assert outcome.prediction.measurements is not None
    voxels = np.count_nonzero(outcome.prediction.labels)
    assert outcome.prediction.measurements[0, 0] == pytest.approx(voxels * 2.5 * 0.8 * 0.7 / 1000)
    assert all(picture.size == (32, 32) for _, picture in trial.pictures(outcome, volume))
    assert trial.main(ROOT / "models" / "xr-body", tmp_path, tmp_path / "out") == 1  # four images are not one


@pytest.mark.parametrize("mode", [SharedMemory.ON, SharedMemory.OFF])
async def test_a_prior_travels_beside_its_series_however_tensors_travel(
    triton_address: str,
    mode: SharedMemory,
) -> None:
    card = compared_card()
    now, prior = np.full((3, 4, 5), 2, np.int16), np.full((2, 6, 7), 3, np.float32)
    geometry = Geometry((0, 1, 2), (3, 4, 5), (2.0, 1.0, 1.0), np.eye(3), (0.0, 0.0, 0.0), "2.25.1")
    beside = Geometry((0, 1), (2, 6, 7), (5.0, 1.0, 1.0), np.eye(3), (1.0, 2.0, 4.0), "2.25.1")
    async with triton.connected(triton_address, shared_memory=mode, log=Log("test"), health=Health()) as models:
        for more, volume in (({"prior": beside}, 2 * 6 * 7 * 3 + 7), ({}, -1)):
            async with models.room(card, now.shape, {name: one.shape for name, one in more.items()}) as room:
                room.volume[:] = now
                for name in more:
                    room.more[name][:] = prior
                answer = await room.infer(geometry, more)
                check(answer, card, now.shape)
                assert answer.measurements is not None and answer.measurements.tolist() == [[volume]]


def working() -> int:
    """How many processes run a package's code."""
    found = 0
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it has ended, or is about to
            found += "plexus_runner.worker" in process.cmdline()
    return found


async def test_the_code_of_a_job_that_is_cancelled_ends_and_the_next_one_is_answered(triton_address: str) -> None:
    card = compared_card()
    volume = np.zeros((3, 4, 5), np.int16)
    volume[0, 0, 0] = 77  # at which it sleeps for ten minutes
    job = asyncio.create_task(ask(triton_address, card, volume))
    while not working():
        await asyncio.sleep(0.05)
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    while working():
        await asyncio.sleep(0.05)
    answer = await ask(triton_address, card, np.zeros((3, 4, 5), np.int16))
    assert answer.measurements is not None and answer.measurements.tolist() == [[-1]]
