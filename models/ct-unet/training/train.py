"""Trains the network of ct-unet, and writes it as ONNX.

    python models/ct-unet/training/train.py FOLDER_OF_A_CT [--steps 500] [--output models/ct-unet/network.onnx]

It needs torch, onnx and pydicom beside NumPy and SciPy: an environment of its own, none of Plexus's. Its teachers are
the deterministic models ct-lung and ct-bone: it can learn to do what they do, and no more. What it sees comes through
the same code as in Triton (`plexus_runner`), so training and use cannot differ.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import torch
import yaml
from numpy.typing import NDArray
from scipy import ndimage
from torch import nn

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [
    str(ROOT / "deploy" / "triton" / "runner"),
    str(ROOT / "models" / "ct-lung" / "triton" / "1"),
    str(ROOT / "models" / "ct-bone" / "triton" / "1"),
]

import bone  # noqa: E402
import lungs  # noqa: E402
from plexus_runner.axes import Grid  # noqa: E402
from plexus_runner.intensity import Intensity  # noqa: E402

CLASSES = 4
"""Background, left lung, right lung, bone."""
CROP = (48, 96, 96)


class Block(nn.Sequential):
    """Two convolutions."""

    def __init__(self, before: int, after: int) -> None:
        layers: list[nn.Module] = []
        for channels in (before, after):
            layers += [
                nn.Conv3d(channels, after, 3, padding=1),
                nn.InstanceNorm3d(after, affine=True),
                nn.LeakyReLU(0.1),
            ]
        super().__init__(*layers)


class UNet(nn.Module):
    """A 3D U-Net of four levels."""

    def __init__(self, widths: tuple[int, ...] = (8, 16, 32, 48)) -> None:
        super().__init__()
        self.down = nn.ModuleList([Block(*pair) for pair in zip((1, *widths), widths, strict=False)])
        self.up = nn.ModuleList(
            [Block(low + high, high) for low, high in zip(widths[:0:-1], widths[-2::-1], strict=True)]
        )
        self.last = nn.Conv3d(widths[0], CLASSES, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of the classes, on the same grid."""
        kept = []
        for number, block in enumerate(self.down):
            x = block(nn.functional.max_pool3d(x, 2) if number else x)
            kept.append(x)
        for block, beside in zip(self.up, kept[-2::-1], strict=True):
            x = block(torch.cat([nn.functional.interpolate(x, scale_factor=2.0, mode="nearest"), beside], 1))
        return self.last(x)


def read(folder: Path) -> tuple[NDArray[np.int16], NDArray[np.float64], NDArray[np.float64]]:
    """Hounsfield units [plane, row, column], spacing, direction of a plain axial CT."""
    slices = sorted((pydicom.dcmread(path) for path in folder.glob("*.dcm")), key=lambda ds: ds.ImagePositionPatient[2])
    hu = np.stack([ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept) for ds in slices])
    step = float(slices[1].ImagePositionPatient[2] - slices[0].ImagePositionPatient[2])
    return hu.astype(np.int16), np.array([step, *map(float, slices[0].PixelSpacing)]), np.eye(3)


def teach(hu: NDArray[np.int16], spacing: NDArray[np.float64], direction: NDArray[np.float64]) -> NDArray[np.uint8]:
    """What the deterministic models say: 1 left lung, 2 right lung, 3 bone."""
    labels = lungs.segment(hu, spacing, direction)
    labels[bone.segment(hu, spacing, direction) > 0] = 3
    return labels


def crops(image: NDArray[Any], labels: NDArray[Any], random: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """A part of the volume, turned, stretched and with another contrast."""
    angles = np.deg2rad(random.uniform(-12, 12, 3) * (1, 0.7, 0.7))
    sines, cosines = np.sin(angles), np.cos(angles)
    about = [
        np.array([[1, 0, 0], [0, cosines[0], -sines[0]], [0, sines[0], cosines[0]]]),
        np.array([[cosines[1], 0, -sines[1]], [0, 1, 0], [sines[1], 0, cosines[1]]]),
        np.array([[cosines[2], -sines[2], 0], [sines[2], cosines[2], 0], [0, 0, 1]]),
    ]
    matrix = about[0] @ about[1] @ about[2] @ np.diag(random.uniform(0.8, 1.25, 3))
    middle = np.array([random.uniform(0.15, 0.85) * length for length in image.shape])
    offset = middle - matrix @ (np.array(CROP) / 2)
    outside = {"output_shape": CROP, "offset": offset, "mode": "constant"}
    seen = ndimage.affine_transform(image, matrix, order=1, cval=0.0, **outside)
    due = ndimage.affine_transform(labels, matrix, order=0, cval=0, **outside)
    seen = seen * random.uniform(0.9, 1.1) + random.uniform(-0.04, 0.04)
    seen += random.normal(0, random.uniform(0, 0.03), CROP).astype(np.float32)
    return torch.from_numpy(seen[None, None].astype(np.float32)), torch.from_numpy(due[None].astype(np.int64))


def loss_of(scores: torch.Tensor, due: torch.Tensor) -> torch.Tensor:
    """Cross entropy and soft Dice."""
    entropy = nn.functional.cross_entropy(scores, due, weight=torch.tensor([0.5, 1.0, 1.0, 1.5]))
    chances, truth = scores.softmax(1), nn.functional.one_hot(due, CLASSES).movedim(-1, 1).float()
    both, sums = (chances * truth).sum((0, 2, 3, 4)), (chances + truth).sum((0, 2, 3, 4))
    return entropy + 1 - ((2 * both + 1) / (sums + 1))[1:].mean()


def main() -> None:
    """Train, and write the network."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--output", type=Path, default=ROOT / "models" / "ct-unet" / "network.onnx")
    given = parser.parse_args()
    torch.manual_seed(5)
    random = np.random.default_rng(5)
    block = yaml.safe_load((ROOT / "models" / "ct-unet" / "model.yaml").read_text())["processing"]
    hu, spacing, direction = read(given.folder)
    grid = Grid.of(hu.shape, spacing, direction, axes=block["axes"], target=block["spacing"], size=None)
    seen = grid.sampled(grid.view(hu))
    steps = [
        (name, {"to_low": 0.0, "to_high": 1.0, **values}) for one in block["intensity"] for name, values in one.items()
    ]
    image = Intensity(steps, [seen])(seen)
    taught = teach(hu, spacing, direction)
    # On the coarse grid a voxel has the label that most of it has.
    shares = np.stack([grid.sampled(grid.view((taught == value).astype(np.float32))) for value in range(CLASSES)])
    labels = shares.argmax(axis=0).astype(np.uint8)
    network = UNet()
    optimiser = torch.optim.AdamW(network.parameters(), 3e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=given.steps)
    for step in range(given.steps):
        loss = loss_of(network((pair := crops(image, labels, random))[0]), pair[1])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 25 == 0 or step == given.steps - 1:
            print(f"step {step}: loss {loss.item():.3f}", flush=True)  # noqa: T201 - for whoever waits
    export(network.eval(), given.output)


def export(network: nn.Module, path: Path) -> None:
    """Writes ONNX whose spatial sizes are free (multiples of 8)."""
    axes = {2: "depth", 3: "height", 4: "width"}
    torch.onnx.export(
        network, (torch.zeros(1, 1, *CROP),), str(path), input_names=["image"], output_names=["scores"],
        dynamic_axes={"image": axes, "scores": axes}, opset_version=17, dynamo=False,
    )  # fmt: skip


if __name__ == "__main__":
    main()
