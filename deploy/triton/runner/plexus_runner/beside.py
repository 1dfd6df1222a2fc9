"""A series that a package takes beside the one that it is about, such as a prior."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Beside:
    """Its voxels, and where they lie.

    Attributes:
        offset: from the first voxel of the volume to its own, mm, LPS; NaN where they have no space in common.
    """

    volume: NDArray[Any]
    spacing: NDArray[np.float64]
    direction: NDArray[np.float64]
    offset: NDArray[np.float64]


def write(more: Mapping[str, Beside], folder: Path) -> dict[str, Any]:
    """Put the voxels into files of a folder; what a job says of them."""
    for name, one in more.items():
        np.save(folder / f"{name}.npy", one.volume)
    return {
        name: {
            "spacing": one.spacing.tolist(),
            "direction": one.direction.tolist(),
            "offset": one.offset.tolist(),
        }
        for name, one in more.items()
    }


def read(folder: Path) -> dict[str, Beside]:
    """What `write` has put there."""
    told = json.loads((folder / "job.json").read_text()).get("more", {})
    return {
        name: Beside(
            np.load(folder / f"{name}.npy", mmap_mode="r"),
            *(np.array(one[key], np.float64) for key in ("spacing", "direction", "offset")),
        )
        for name, one in told.items()
    }
