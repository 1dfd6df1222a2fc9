"""A declared network, from the source grid and back to it: the block `processing` of a card, carried out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plexus_runner import boxes as box_finding
from plexus_runner import labels as label_maps
from plexus_runner.axes import Grid
from plexus_runner.intensity import Intensity
from plexus_runner.networks import Network
from plexus_runner.places import Places
from plexus_runner.question import Question
from plexus_runner.refusals import STOPPED, Refused
from plexus_runner.windows import Cut, slide, starts

Arrays = dict[str, NDArray[Any]]


class Pipeline:
    """A `plexus_runner.packages.Runner` of a network without code."""

    def __init__(self, card: dict[str, Any], network: Network) -> None:
        self._card = card
        self._owed = card["owed"]
        self._block = card["processing"]
        self._values = [int(label["value"]) for label in card.get("labels") or []]
        self._network = network

    def run(self, question: Question) -> Arrays:
        """The outputs, by name. A declared network takes one input: the card is refused otherwise."""
        volume, spacing = question.main.array, question.main.spacing
        channels = [volume[..., colour] for colour in range(3)] if volume.ndim == 4 else [volume]
        grid = self._grid(channels[0].shape, spacing, question.main.direction)
        sampled = [grid.sampled(grid.view(channel)) for channel in channels]
        intensity = Intensity(self._block["intensity"], sampled)
        if self._block["boxes"] and self._block["boxes"]["source"] == "rows":
            return self._rows(grid, sampled, intensity, question.stopped)
        if not {"labels", "probabilities", "map", "image", "boxes"} & set(self._owed):
            return self._numbers(sampled, intensity)
        made = self._spatial(self._slabs(grid, sampled, intensity, question.stopped), grid, question.places)
        if "measurements" in self._owed:
            made["measurements"] = label_maps.measure(
                made["labels"], volume, spacing, self._values, self._block["measure"]
            )
        return {name: made[name] for name in self._owed}

    def _grid(self, shape: Sequence[int], spacing: NDArray[np.float64], direction: NDArray[np.float64]) -> Grid:
        block, size = self._block, self._block["size"]
        plain = Grid.of(shape, spacing, direction, axes=block["axes"], target=block["spacing"], size=None)
        if size is None:
            return plain
        size = size if block["dimensions"] == 3 else [plain.source[0], *size]
        return Grid.of(shape, spacing, direction, axes=block["axes"], target=None, size=size)

    def _slabs(
        self, grid: Grid, channels: list[NDArray[Any]], intensity: Intensity, stopped: Callable[[], bool]
    ) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """The network's raw output, slab by slab."""
        flat = self._block["dimensions"] == 2
        size, overlap, blend = self._windows(grid)
        cut = self._cut(grid, channels, intensity, size)

        def run(patch: NDArray[np.float32]) -> NDArray[np.float32]:
            _go_on(stopped)
            answer = self._ask(patch[:, 0] if flat else patch)
            answer = answer[:, None] if flat else answer
            if answer.ndim != 4 or answer.shape[1:] != tuple(size):
                raise Refused(f"the network answers {list(answer.shape)} where {['channels', *size]} is due")
            return answer

        yield from slide(grid.shape, size, overlap=overlap, blend=blend, cut=cut, run=run)

    def _windows(self, grid: Grid) -> tuple[tuple[int, ...], float, str]:
        """How much the network sees at once, which share of it the next time again, and how that is blended."""
        window = self._block["window"]
        flat = self._block["dimensions"] == 2
        if window is None:
            return ((1, *grid.shape[1:]) if flat else grid.shape), 0.0, "constant"
        size = (1, *window["size"]) if flat else tuple(window["size"])
        return size, window["overlap"], window["blend"]

    def _cut(self, grid: Grid, channels: list[NDArray[Any]], intensity: Intensity, size: Sequence[int]) -> Cut:
        """What the network sees from a place on."""
        pad = np.float32(self._block["pad"])

        def cut(place: Sequence[int]) -> NDArray[np.float32]:
            inside = tuple(
                slice(max(0, at), min(at + one, n)) for at, one, n in zip(place, size, grid.shape, strict=True)
            )
            patch = intensity(np.stack([channel[inside] for channel in channels]))
            if patch.shape[1:] == tuple(size):
                return patch
            around = [
                (part.start - at, at + one - part.stop) for at, one, part in zip(place, size, inside, strict=True)
            ]
            return np.pad(patch, [(0, 0), *around], constant_values=pad)

        return cut

    def _rows(
        self, grid: Grid, channels: list[NDArray[Any]], intensity: Intensity, stopped: Callable[[], bool]
    ) -> Arrays:
        """The boxes of a network that answers them, window by window."""
        size, overlap, _ = self._windows(grid)
        cut, flat = self._cut(grid, channels, intensity, size), self._block["dimensions"] == 2
        parts = []
        for place in product(*(starts(n, one, overlap) for n, one in zip(grid.shape, size, strict=True))):
            _go_on(stopped)
            patch = cut(place)
            table = self._ask(patch[:, 0] if flat else patch, rank=2)
            part = box_finding.of_rows(
                table, self._block["boxes"], size=size, place=place, labels=self._block["channel_labels"]
            )
            parts.append(part)
        together = box_finding.Found(
            *(np.concatenate([getattr(part, name) for part in parts]) for name in ("boxes", "labels", "scores"))
        )
        if self._block["activation"] == "sigmoid":
            scores = activated(together.scores[None].astype(np.float32), "sigmoid")[0].astype(np.float64)
            together = box_finding.Found(together.boxes, together.labels, scores)
        return self._boxes(together, grid)

    def _boxes(self, found: box_finding.Found, grid: Grid) -> Arrays:
        rule = self._block["boxes"]
        kept = box_finding.best(found, threshold=self._block["threshold"], overlap=rule["overlap"], most=rule["most"])
        return box_finding.on_source(kept, grid)

    def _ask(self, patch: NDArray[np.float32], rank: int = 0) -> NDArray[np.float32]:
        """One patch [channels, …] to one answer, without the batch, which an answer of `rank` dimensions lacks."""
        if len(patch) < self._block["channels"]:
            patch = np.repeat(patch, self._block["channels"], axis=0)
        answer = self._network(np.ascontiguousarray(patch[None]))
        answer = answer[None] if answer.ndim == rank else answer
        if answer.ndim == 0 or len(answer) != 1:
            raise Refused(f"the network answers {list(answer.shape)} to a batch of one")
        if np.isnan(answer).any():
            raise Refused("the network's output is not a number (NaN): are its weights whole, is its input in range?")
        found: NDArray[np.float32] = answer[0]
        return found

    def _spatial(self, slabs: Iterator[tuple[int, NDArray[np.float32]]], grid: Grid, places: Places) -> Arrays:
        block, made = self._block, dict[str, NDArray[Any]]()
        dtype = np.uint16 if max(self._values, default=0) > 255 else np.uint8
        labels = np.zeros(grid.shape, dtype)
        chances = np.zeros((len(self._values), *grid.shape), np.uint8) if "probabilities" in self._owed else None
        shown = np.zeros(grid.shape, np.float32) if {"map", "image"} & set(self._owed) else None
        likely = np.zeros((len(self._values), *grid.shape), np.float32) if block["boxes"] else None
        for first, raw in slabs:
            planes = slice(first, first + raw.shape[1])
            if shown is not None:
                shown[planes] = raw[0] if block["activation"] == "none" else activated(raw, block["activation"])[-1]
            if not self._values:
                continue
            of_channel = block["channel_labels"]
            if len(raw) != len(of_channel):
                raise Refused(
                    f"the network has {len(raw)} output channels, and the card gives labels to {len(of_channel)}"
                )
            scores = activated(raw, block["activation"])
            labels[planes] = decided(scores, of_channel, block["activation"], block["threshold"]).astype(dtype)
            for row, value in enumerate(self._values):
                if chances is not None and value in of_channel:
                    chances[row, planes] = np.rint(255 * np.clip(scores[of_channel.index(value)], 0, 1))
                if likely is not None and value in of_channel:
                    likely[row, planes] = scores[of_channel.index(value)]
        if self._values:
            label_maps.tidy(labels, block["largest_component"], block["minimum_ml"] * 1000 / np.prod(grid.spacing))
            made["labels"] = places.empty("labels", grid.home, dtype)
            grid.nearest(labels, made["labels"])
        if likely is not None:
            found = box_finding.around(
                likely,
                self._values,
                threshold=block["threshold"],
                minimum=block["minimum_ml"] * 1000 / np.prod(grid.spacing),
                joined=(self._card.get("input") or {}).get("kind", "volume") == "volume",
            )
            made |= self._boxes(found, grid)
        if chances is not None:
            made["probabilities"] = places.empty("probabilities", (len(chances), *grid.home), np.uint8)
            for one, place in zip(chances, made["probabilities"], strict=True):
                grid.smooth(one, place, np.rint)
        return made if shown is None else made | self._shown(shown, grid, places)

    def _shown(self, values: NDArray[np.float32], grid: Grid, places: Places) -> Arrays:
        """A map or an image of what the network answers, on the source grid."""
        made = dict[str, NDArray[Any]]()
        if "map" in self._owed:
            made["map"] = places.empty("map", grid.home, np.float32)
            grid.smooth(values, made["map"])
        if "image" in self._owed:
            made["image"] = places.empty("image", grid.home, np.uint16)
            grid.smooth(values, made["image"], lambda slab: np.clip(np.rint(slab), 0, 65535))
        return made

    def _numbers(self, channels: list[NDArray[Any]], intensity: Intensity) -> Arrays:
        """Classes or measurements of the whole input; of planes one by one, their mean."""
        if self._block["dimensions"] == 2:
            planes = range(len(channels[0]))
            answers = [self._ask(intensity(np.stack([one[plane] for one in channels]))) for plane in planes]
        else:
            answers = [self._ask(intensity(np.stack(channels)))]
        raw = np.stack([answer.ravel() for answer in answers])
        if "classes" in self._owed:
            due = len(self._card.get("classes") or [])
            _as_many(raw, due, "classes")
            scores = np.stack([activated(one.reshape(-1, 1), self._block["activation"])[:, 0] for one in raw])
            return {"classes": np.clip(scores.mean(axis=0), 0, 1).astype(np.float32)}
        rows, columns = max(len(self._values), 1), len(self._card.get("measurements") or [])
        _as_many(raw, rows * columns, "measurements")
        return {"measurements": raw.mean(axis=0).reshape(rows, columns).astype(np.float32)}


def _go_on(stopped: Callable[[], bool]) -> None:
    if stopped():
        raise Refused(STOPPED)


def _as_many(raw: NDArray[np.float32], due: int, what: str) -> None:
    if raw.shape[1] != due:
        raise Refused(f"the network answers {raw.shape[1]} numbers, and the card has {due} {what}")


def activated(raw: NDArray[np.float32], activation: str) -> NDArray[np.float32]:
    """The output after softmax or sigmoid, which are over the channels; argmax and threshold need none."""
    if activation == "softmax":
        powers = np.exp(raw - raw.max(axis=0))
        return np.asarray(powers / powers.sum(axis=0), np.float32)
    if activation == "sigmoid":
        return np.asarray(0.5 * (1 + np.tanh(raw / 2)), np.float32)  # never overflows
    return raw


def decided(
    scores: NDArray[np.float32], of_channel: Sequence[int], activation: str, threshold: float
) -> NDArray[np.intp]:
    """The label of each voxel: of the best channel, or of the best of those that reach the threshold."""
    values = np.array(of_channel)
    best = scores.argmax(axis=0)
    if activation in ("argmax", "softmax"):
        return np.asarray(values[best], np.intp)
    reached = np.take_along_axis(scores, best[None], axis=0)[0] >= threshold
    return np.where(reached, values[best], 0).astype(np.intp)
