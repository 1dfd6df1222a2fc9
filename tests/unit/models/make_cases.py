"""Makes the test cases of the packages that come with Plexus: `python -m tests.unit.models.make_cases`.

What is expected is the truth of a phantom where there is one, and elsewhere what the model says (looked at in the
pictures of the report). Every case is small: it travels with its package.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from services.catalogue.adapters.folder import FolderPackages
from services.catalogue.repository import RUNNER, described_card
from tests.unit.models import conftest, phantom

sys.path.insert(0, str(RUNNER))

from plexus_runner.packages import runner_of

SAMPLE = Path(__file__).resolve().parents[2] / "data" / "ct-chest-cmb"
THINNED = 2
"""Every so many voxels of the phantom are taken along each axis, and so many planes of the sample make one."""
SAMPLE_PIXELS = 6
SAMPLE_PLANES = slice(10, 38)
"""Of those: the middle of the chest, as deep as one window of the network."""
SAMPLE_HU = 20
"""The sample is rounded to this: noise does not compress."""
Arrays = Mapping[str, NDArray[Any]]


def main() -> None:
    """Write them all."""
    chest = _phantom()
    truth = phantom.chest(noise_hu=0)
    lungs = (1 * truth.left + 2 * truth.right)[_thin()].astype(np.uint8)
    bones = truth.bones[_thin()].astype(np.uint8)
    _write("ct-lung", "phantom", chest, {**_answer("ct-lung", chest), "labels": lungs}, dice=0.96)
    _write(
        "ct-bone", "phantom", chest, {**_answer("ct-bone", chest), "labels": bones}, dice=0.9
    )  # half its cortex is thinner than a voxel
    _write("ct-body", "phantom", chest, _answer("ct-body", chest))
    sample = _sample()
    _write("ct-unet", "sample", sample, _answer("ct-unet", sample), dice=0.97, relative=0.03)
    _write("ct-fat", "sample", sample, _answer("ct-fat", sample))
    radiograph, shadow = _radiograph()
    _write("xr-body", "drawn", radiograph, {**_answer("xr-body", radiograph), "labels": shadow}, dice=0.97)


def _thin() -> tuple[slice, ...]:
    return (slice(None, None, THINNED),) * 3


def _phantom() -> dict[str, NDArray[Any]]:
    hu = np.ascontiguousarray(phantom.chest(noise_hu=0).hu[_thin()])
    return {"volume": hu, "spacing": phantom.SPACING * THINNED, "direction": phantom.HEAD_FIRST}


def _sample() -> dict[str, NDArray[Any]]:
    """The sample CT (tests/data/ATTRIBUTION.md), coarse; without its last columns, which are air."""
    slices = [pydicom.dcmread(path) for path in sorted(SAMPLE.glob("*.dcm"))]
    slices.sort(key=lambda one: float(one.ImagePositionPatient[2]))
    planes = np.stack([one.pixel_array * float(one.RescaleSlope) + float(one.RescaleIntercept) for one in slices])
    depth, side = len(planes) // THINNED, planes.shape[1] // SAMPLE_PIXELS
    cut = planes[: depth * THINNED, : side * SAMPLE_PIXELS, : side * SAMPLE_PIXELS]
    coarse = cut.reshape(depth, THINNED, side, SAMPLE_PIXELS, side, SAMPLE_PIXELS).mean(axis=(1, 3, 5))
    apart = float(slices[1].ImagePositionPatient[2]) - float(slices[0].ImagePositionPatient[2])
    pixel = float(slices[0].PixelSpacing[0])
    return {
        "volume": (np.rint(coarse[SAMPLE_PLANES].clip(-1024, 1500) / SAMPLE_HU) * SAMPLE_HU).astype(np.int16),
        "spacing": np.array([apart * THINNED, pixel * SAMPLE_PIXELS, pixel * SAMPLE_PIXELS]),
        "direction": np.eye(3),
    }


def _radiograph() -> tuple[dict[str, NDArray[Any]], NDArray[np.uint8]]:
    """A trunk with two lungs before an exposed detector, behind a collimator; and what of it is shadow."""
    row, column = np.mgrid[:320, :256]
    body = ((row - 180) / 130) ** 2 + ((column - 128) / 100) ** 2 <= 1
    image = np.full(body.shape, 0.05)
    image[body] = 0.75
    for side in (80, 176):
        image[((row - 160) / 70) ** 2 + ((column - side) / 32) ** 2 <= 1] = 0.45
    picture = np.rint(image * 255)[None].astype(np.float32) / np.float32(255)
    inputs = {"volume": picture, "spacing": np.array([np.nan, 0.8, 0.8]), "direction": np.eye(3)}
    return inputs, body[None].astype(np.uint8)


def _answer(name: str, inputs: Arrays) -> Arrays:
    """What a package says."""
    folder = conftest.MODELS / name
    if (folder / "triton").is_dir():
        model = conftest.load(name, {"ct-lung": "lungs", "ct-bone": "bone"}[name])
        labels = model.segment(inputs["volume"], inputs["spacing"], inputs["direction"])
        measured = model.measure(inputs["volume"], labels, inputs["spacing"]).astype(np.float32)
        return {"labels": labels, "measurements": measured}
    card = FolderPackages(conftest.MODELS, max_bytes=0).read(folder).card
    runner = runner_of(folder, json.loads(json.dumps(described_card(card))))
    return runner.run(inputs["volume"], inputs["spacing"], inputs["direction"])


def _write(
    name: str, case: str, inputs: Arrays, expected: Arrays, *, dice: float = 0.99, relative: float = 0.01
) -> None:
    folder = conftest.MODELS / name / "tests" / case
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / "input.npz", allow_pickle=False, **inputs)
    np.savez_compressed(folder / "expected.npz", allow_pickle=False, **expected)
    (folder / "tolerance.yaml").write_text(f"dice: {dice}\nrelative: {relative}\n", encoding="utf-8")
    size = sum(path.stat().st_size for path in folder.iterdir()) / 1000
    sys.stdout.write(f"{name}/{case}: {size:.0f} kB {expected['measurements'].tolist()}\n")


if __name__ == "__main__":
    main()
