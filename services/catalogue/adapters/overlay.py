"""Pictures of what was found on its input: three planes through the middle of it, or the one plane that there is."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from services.catalogue.ports import Arrays
from services.contracts.card import InputKind, ModelCard

_OPACITY = 0.45
_HEIGHT = 320
_WIDTH_MAX = 960
_GREY = (200, 200, 200)


class OverlayPictures:
    """A `services.catalogue.ports.Pictures`."""

    def overlay(self, card: ModelCard, inputs: Arrays, outputs: Arrays) -> bytes | None:
        """A PNG of labels and boxes on the input; see the port."""
        volume = inputs.get("volume")
        if volume is None or volume.ndim not in (3, 4) or 0 in volume.shape:
            return None
        shape = volume.shape[:3]
        labels = outputs.get("labels")
        if labels is None or labels.shape != shape:
            labels = np.zeros(shape, np.uint8)
        boxes = np.asarray(outputs.get("boxes", np.empty((0, 6))), np.float64).reshape(-1, 6)
        # Where the image does not say how large its voxels are, they are squares.
        spacing = np.nan_to_num(np.asarray(inputs.get("spacing", np.ones(3)), np.float64), nan=1.0)
        rises = float(np.asarray(inputs.get("direction", np.eye(3)))[2, 2]) > 0
        middle = _middle(labels, boxes)
        colours = _colours(card, labels)
        planes = []
        for axis in (0, 1, 2) if shape[0] > 1 and card.input is InputKind.VOLUME else (0,):
            rest = [one for one in range(3) if one != axis]
            picture = _picture(np.take(volume, middle[axis], axis), np.take(labels, middle[axis], axis), colours)
            crossing = (boxes[:, axis] - 0.5 <= middle[axis]) & (boxes[:, axis + 3] + 0.5 >= middle[axis])
            kinds = np.asarray(outputs.get("box_labels", np.zeros(len(boxes))), int)
            shown = _proportioned(picture, spacing[rest])
            _draw(shown, picture.shape, boxes[crossing][:, [*rest, *(one + 3 for one in rest)]], kinds[crossing], card)
            # Where planes rise towards the head, that is up.
            planes.append(shown.transpose(Image.Transpose.FLIP_TOP_BOTTOM) if axis and rises else shown)
        whole = Image.new("RGB", (sum(plane.width for plane in planes), _HEIGHT))
        left = 0
        for plane in planes:
            whole.paste(plane, (left, 0))
            left += plane.width
        file = io.BytesIO()
        whole.save(file, "PNG")
        return file.getvalue()


def _middle(labels: NDArray[np.generic], boxes: NDArray[np.float64]) -> NDArray[np.intp]:
    """The voxel in the middle of what was found, or of the input."""
    found = np.argwhere(np.asarray(labels, np.int64) > 0)
    last = np.array(labels.shape) - 1
    if len(found):
        return np.asarray(np.median(found, axis=0), np.intp)
    place = (boxes[0, :3] + boxes[0, 3:]) / 2 if len(boxes) else last / 2
    return np.asarray(np.clip(np.rint(place), 0, last), np.intp)


def _colours(card: ModelCard, labels: NDArray[np.generic]) -> NDArray[np.float64]:
    colours = np.zeros((int(labels.max(initial=0)) + 1, 3))
    for label in card.labels:
        if label.value < len(colours):
            colours[label.value] = label.colour
    return colours


def _picture(
    plane: NDArray[np.generic], labels: NDArray[np.generic], colours: NDArray[np.float64]
) -> NDArray[np.float64]:
    values = plane.astype(np.float64)
    if values.ndim == 3:
        picture = values
    else:
        low, high = np.percentile(values, (1, 99))
        grey = np.clip((values - low) / max(high - low, 1e-6), 0, 1) * 255
        picture = np.repeat(grey[..., None], 3, axis=2)
    marked = np.asarray(labels, np.int64) > 0
    painted = colours[np.asarray(labels, np.intp)]
    picture[marked] = (1 - _OPACITY) * picture[marked] + _OPACITY * painted[marked]
    return picture


def _proportioned(picture: NDArray[np.float64], sizes: NDArray[np.float64]) -> Image.Image:
    rows, columns = picture.shape[:2]
    width = min(_WIDTH_MAX, max(1, round(_HEIGHT * columns * sizes[1] / (rows * sizes[0]))))
    return Image.fromarray(picture.astype(np.uint8)).resize((width, _HEIGHT))


def _draw(
    shown: Image.Image,
    shape: tuple[int, ...],
    boxes: NDArray[np.float64],
    kinds: NDArray[np.int_],
    card: ModelCard,
) -> None:
    """Frames of boxes (first row, column, last row, column of a plane of `shape`)."""
    pen = ImageDraw.Draw(shown)
    colour_of = {label.value: label.colour for label in card.labels}
    scale = np.array([shown.height / shape[0], shown.width / shape[1]] * 2)
    for box, kind in zip(boxes, kinds, strict=True):
        top, left, bottom, right = ((box + 0.5) * scale).tolist()
        pen.rectangle((left, top, right, bottom), outline=colour_of.get(int(kind), _GREY), width=2)
