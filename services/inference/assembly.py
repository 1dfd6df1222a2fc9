"""From released files to an array: headers first, so that a refusal costs little, then pixels, each to its plane."""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from services.chassis.faults import PermanentFault
from services.contracts.card import InputKind, ModelCard
from services.contracts.tensors import Units, sample_type, units_of
from services.inference.errors import InputDamaged, NotAVolume, Refusal
from services.inference.manifest import Entry
from services.inference.model import Geometry, line_up, stack
from services.inference.ports import Reader, WorkStore

HEADER_BYTES = 32 * 1024
"""Enough for the header of nearly every slice; where it is not, the whole file is read."""

Progress = Callable[[int], Awaitable[None]]
HeaderT = TypeVar("HeaderT")


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Which frame of which entry each plane of the input is.

    Attributes:
        places: for each plane the index of its entry and the number of its frame, from 1.
    """

    geometry: Geometry
    places: tuple[tuple[int, int], ...]
    units: Units


async def read_layout(
    entries: Sequence[Entry], card: ModelCard, *, work: WorkStore, reader: Reader, parallel: int, max_bytes: int
) -> Layout:
    """How the released instances make the input that the card asks for.

    Raises:
        NotAVolume: they make no volume.
        NotAPicture: they are not the image or the loop.
    """
    units = units_of(card)
    match card.input:
        case InputKind.VOLUME:
            found = await _headers(entries, lambda data: reader.slices(data, units), work=work, parallel=parallel)
            slices = [(index, one) for index, several in enumerate(found) for one in several]
            geometry = stack([one for _, one in slices])
            places = tuple((slices[at][0], slices[at][1].frame) for at in geometry.order)
        case InputKind.IMAGE | InputKind.FRAMES:
            pictures = await _headers(entries, lambda data: reader.picture(data, units), work=work, parallel=parallel)
            geometry, places = line_up(pictures, card.input)
    size = int(np.prod(geometry.shape)) * np.dtype(sample_type(units)).itemsize * (3 if units is Units.RGB else 1)
    if size > max_bytes:
        raise NotAVolume(Refusal.TOO_LARGE, f"it would take {size >> 20} MiB, and {max_bytes >> 20} MiB are the most")
    return Layout(geometry, places, units)


async def _headers(
    entries: Sequence[Entry], parse: Callable[[bytes], HeaderT], *, work: WorkStore, parallel: int
) -> list[HeaderT]:
    found: dict[int, HeaderT] = {}

    async def read(index: int) -> None:
        key = entries[index].key
        start = await work.read_start(key, HEADER_BYTES)
        try:
            found[index] = await asyncio.to_thread(parse, start)
        except PermanentFault:
            if len(start) < HEADER_BYTES:
                raise
            found[index] = await asyncio.to_thread(parse, await work.read(key))

    await _each(len(entries), read, parallel)
    return [found[index] for index in range(len(entries))]


async def fill(
    volume: NDArray[Any],
    entries: Sequence[Entry],
    layout: Layout,
    *,
    work: WorkStore,
    reader: Reader,
    parallel: int,
    progress: Progress,
) -> None:
    """Decodes every frame straight into its plane of `volume`; only `parallel` files are held beside it.

    Raises:
        InputDamaged: a file is not the one that was released.
        PixelsUnreadable: one cannot be decoded.
    """
    planes: dict[int, dict[int, NDArray[Any]]] = defaultdict(dict)
    for plane, (index, frame) in enumerate(layout.places):
        planes[index][frame] = volume[plane]
    order, done = list(planes), 0

    async def decode(number: int) -> None:
        nonlocal done
        index = order[number]
        data = await work.read(entries[index].key)
        await asyncio.to_thread(_decode, reader, data, entries[index], layout.units, planes[index])
        done += 1
        await progress(done)

    await _each(len(order), decode, parallel)


def _decode(reader: Reader, data: bytes, entry: Entry, units: Units, out: Mapping[int, NDArray[Any]]) -> None:
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        raise InputDamaged("holds an instance whose digest is not the one in the manifest")
    reader.decode(data, units, out)


async def _each(count: int, work: Callable[[int], Awaitable[None]], parallel: int) -> None:
    """Runs `work` for 0 to `count`, so many at a time; the first fault stops the rest and is raised by itself."""
    queue = iter(range(count))

    async def worker() -> None:
        for index in queue:
            await work(index)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(parallel, count)):
                group.create_task(worker())
    except* Exception as faults:  # noqa: BLE001 - nothing is swallowed: the first is raised again, without its group
        raise faults.exceptions[0] from None
