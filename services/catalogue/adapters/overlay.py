"""Pictures of labels on their input: three planes through the middle of what was found."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from services.catalogue.ports import Arrays
from services.contracts.card import ModelCard

_OPACITY = 0.45
_HEIGHT = 320


class OverlayPictures:
    """A `services.catalogue.ports.Pictures`."""

    def overlay(self, card: ModelCard, inputs: Arrays, outputs: Arrays) -> bytes | None:
        """A PNG of the labels on the input; see the port."""
        volume, labels = inputs.get("volume"), outputs.get("labels")
        if volume is None or labels is None or volume.ndim != 3 or labels.shape != volume.shape:
            return None
        spacing = np.asarray(inputs.get("spacing", np.ones(3)), np.float64)
        found = np.argwhere(np.asarray(labels, np.int64) > 0)
        middle = np.median(found, axis=0).astype(int) if len(found) else np.array(volume.shape) // 2
        colours = np.zeros((int(labels.max(initial=0)) + 1, 3))
        for label in card.labels:
            if label.value < len(colours):
                colours[label.value] = label.colour
        planes = [
            _picture(np.take(volume, middle[axis], axis), np.take(labels, middle[axis], axis), colours, sizes)
            for axis, sizes in (
                (0, (spacing[1], spacing[2])),
                (1, (spacing[0], spacing[2])),
                (2, (spacing[0], spacing[1])),
            )
        ]
        whole = Image.new("RGB", (sum(plane.width for plane in planes), _HEIGHT))
        left = 0
        for plane in planes:
            whole.paste(plane, (left, 0))
            left += plane.width
        file = io.BytesIO()
        whole.save(file, "PNG")
        return file.getvalue()


def _picture(
    plane: NDArray[np.generic],
    labels: NDArray[np.generic],
    colours: NDArray[np.float64],
    sizes: tuple[float, float],
) -> Image.Image:
    values = plane.astype(np.float64)
    low, high = np.percentile(values, (1, 99))
    grey = np.clip((values - low) / max(high - low, 1e-6), 0, 1) * 255
    picture = np.repeat(grey[..., None], 3, axis=2)
    marked = np.asarray(labels, np.int64) > 0
    painted = colours[np.asarray(labels, np.intp)]
    picture[marked] = (1 - _OPACITY) * picture[marked] + _OPACITY * painted[marked]
    rows, columns = plane.shape
    width = max(1, round(_HEIGHT * columns * sizes[1] / (rows * sizes[0])))
    return Image.fromarray(picture.astype(np.uint8)).resize((width, _HEIGHT))
