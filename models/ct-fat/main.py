"""Adipose tissue on CT by its attenuation: an application with one inference task."""

from __future__ import annotations

from typing import Any

import numpy as np
from application import Application, InferTask, InferType
from scipy import ndimage

FAT_HU = (-190, -30)
"""The usual range of adipose tissue on CT."""
LABEL = 1


class FatTask(InferTask):
    """Labels voxels in the range of fat that are not a thin border between air and tissue."""

    type = InferType.SEGMENTATION

    def run(self, request: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """The label map, and the numbers by label and measurement."""
        hu = request["array"]
        labels = np.zeros(hu.shape, np.uint8)
        for plane, grey in zip(labels, hu):  # noqa: B905 - plane by plane: SciPy copies what it works on
            fat = (grey > FAT_HU[0]) & (grey < FAT_HU[1])
            plane[ndimage.binary_opening(fat, iterations=2)] = LABEL
        voxel_ml = float(np.prod(request["metadata"]["spacing"])) / 1000
        found = hu[labels == LABEL]
        numbers = {"volume": found.size * voxel_ml}
        if found.size:
            numbers["mean attenuation"] = float(found.mean())
        return labels, {"Adipose tissue": numbers}


class FatApplication(Application):
    """What Plexus starts."""

    def init_infers(self) -> dict[str, InferTask]:
        """One task."""
        return {"fat": FatTask(description="adipose tissue by attenuation")}
