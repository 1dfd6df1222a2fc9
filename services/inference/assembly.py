"""From released files to a volume: headers first, so that a refusal costs little, then pixels, each to its plane."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from services.chassis.faults import PermanentFault
from services.inference.errors import InputDamaged, NotAVolume, Refusal
from services.inference.manifest import Entry
from services.inference.model import Geometry, Slice, stack
from services.inference.ports import SliceReader, WorkStore

HEADER_BYTES = 32 * 1024
"""Enough for the header of nearly every slice; where it is not, the whole file is read."""

Progress = Callable[[int], Awaitable[None]]


async def read_geometry(
    entries: Sequence[Entry], *, work: WorkStore, reader: SliceReader, parallel: int, max_bytes: int
) -> Geometry:
    """How the released slices stack up.

    Raises:
        NotAVolume: they do not.
    """
    slices: list[Slice | None] = [None] * len(entries)

    async def read(index: int) -> None:
        slices[index] = await _header(entries[index].key, work=work, reader=reader)

    await _each(len(entries), read, parallel)
    geometry = stack([one for one in slices if one is not None])
    size = 2 * int(np.prod(geometry.shape))
    if size > max_bytes:
        raise NotAVolume(Refusal.TOO_LARGE, f"it would take {size >> 20} MiB, and {max_bytes >> 20} MiB are the most")
    return geometry


async def _header(key: str, *, work: WorkStore, reader: SliceReader) -> Slice:
    start = await work.read_start(key, HEADER_BYTES)
    try:
        return await asyncio.to_thread(reader.header, start)
    except PermanentFault:
        if len(start) < HEADER_BYTES:
            raise
    return await asyncio.to_thread(reader.header, await work.read(key))


async def fill(
    volume: NDArray[np.int16],
    entries: Sequence[Entry],
    geometry: Geometry,
    *,
    work: WorkStore,
    reader: SliceReader,
    parallel: int,
    progress: Progress,
) -> None:
    """Decodes every slice straight into its plane of `volume`; only `parallel` slices are held beside it.

    Raises:
        InputDamaged: a file is not the one that was released.
        PixelsUnreadable: one cannot be decoded.
    """
    done = 0

    async def decode(plane: int) -> None:
        nonlocal done
        entry = entries[geometry.order[plane]]
        data = await work.read(entry.key)
        await asyncio.to_thread(_decode, reader, data, entry, volume[plane])
        done += 1
        await progress(done)

    await _each(len(entries), decode, parallel)


def _decode(reader: SliceReader, data: bytes, entry: Entry, out: NDArray[np.int16]) -> None:
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        raise InputDamaged("holds an instance whose digest is not the one in the manifest")
    reader.decode(data, out)


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
