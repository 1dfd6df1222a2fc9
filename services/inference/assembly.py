"""From released files to an array: headers first, so that a refusal costs little, then pixels, each to its plane."""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from services.chassis.faults import PermanentFault
from services.contracts.card import CardInput, InputKind, ModelCard
from services.contracts.tensors import Units, form, units_of
from services.inference.errors import InputDamaged, NotAPicture, NotAVolume, Refusal
from services.inference.manifest import Entry, Manifest
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

    @property
    def size(self) -> int:
        """Bytes of the array."""
        dtype, shape = form(self.units, self.geometry.shape)
        return int(np.prod(shape)) * dtype.itemsize


async def read_layouts(
    manifest: Manifest, card: ModelCard, *, work: WorkStore, reader: Reader, parallel: int, max_bytes: int
) -> tuple[Layout, Mapping[str, Layout]]:
    """How the released instances make the inputs that the card asks for: the first one, and those beside it by name.

    Raises:
        NotAVolume, NotAPicture: an input is not what it has to be, or all of them together are too large.
        InputDamaged: one that the model needs was not released, or one that it does not know was.
    """
    wanted = {one.name: one for one in card.more_inputs}
    lacking = [name for name, one in wanted.items() if one.required and name not in manifest.more]
    if lacking or set(manifest.more) - set(wanted):
        raise InputDamaged(f"does not hold the inputs {', '.join(wanted)}")
    read = partial(read_layout, work=work, reader=reader, parallel=parallel)
    first = await read(manifest.entries, card.main_input, max_bytes=max_bytes)
    left, more = max_bytes - first.size, dict[str, Layout]()
    for name, entries in manifest.more.items():
        with _of_input(name):
            more[name] = await read(entries, wanted[name], max_bytes=left)
        left -= more[name].size
    return first, more


@contextmanager
def _of_input(name: str) -> Iterator[None]:
    """Whoever reads of a refusal has to know of which series it is."""
    try:
        yield
    except (NotAVolume, NotAPicture) as fault:
        raise type(fault)(fault.refusal, f"{fault.why} (input {name})") from None


async def read_layout(
    entries: Sequence[Entry], wanted: CardInput, *, work: WorkStore, reader: Reader, parallel: int, max_bytes: int
) -> Layout:
    """How the released instances of a series make the input that is wanted.

    Raises:
        NotAVolume: they make no volume.
        NotAPicture: they are not the image or the loop.
    """
    units = units_of(wanted)
    match wanted.kind:
        case InputKind.VOLUME:
            found = await _headers(entries, lambda data: reader.slices(data, units), work=work, parallel=parallel)
            slices = [(index, one) for index, several in enumerate(found) for one in several]
            geometry = stack([one for _, one in slices])
            places = tuple((slices[at][0], slices[at][1].frame) for at in geometry.order)
        case InputKind.IMAGE | InputKind.FRAMES:
            pictures = await _headers(entries, lambda data: reader.picture(data, units), work=work, parallel=parallel)
            geometry, places = line_up(pictures, wanted.kind)
    layout = Layout(geometry, places, units)
    if layout.size > max_bytes:
        raise NotAVolume(
            Refusal.TOO_LARGE, f"it would take {layout.size >> 20} MiB, and {max_bytes >> 20} MiB are the most"
        )
    return layout


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
