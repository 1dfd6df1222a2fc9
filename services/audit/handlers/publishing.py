"""Sign how the log stands: tiles first, then a checkpoint over them, never one that does not continue the last."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from services.audit import merkle, notes, tiles
from services.audit.errors import LogBrokenError
from services.audit.merkle import Frontier
from services.audit.notes import Checkpoint, Key, Note, NoteError, Signer
from services.audit.ports import Ledger, Publication, Tiles
from services.audit.tiles import TileMissingError, TreeOfTiles
from services.chassis.faults import PassingFault
from services.chassis.log import Log

_LEAVES_AT_ONCE = tiles.WIDTH * 64


async def publish(*, ledger: Ledger, folder: Tiles, signer: Signer) -> str:
    """Bring the tiles up to the log and sign a checkpoint of it, unless the last one says it already; gives it.

    Raises:
        LogBrokenError: what is there does not continue what was signed: nothing is signed.
        LogUnavailableError: the database does not answer.
    """
    async with ledger.publication() as publication:
        signed = _last(publication.checkpoint, signer.key)
        if not publication.checkpoint and bool(await asyncio.to_thread(folder.checkpoint)):
            raise LogBrokenError("the audit log's last checkpoint is missing in its database")
        head = publication.head
        if head.size < signed.size:
            raise LogBrokenError(f"the audit log has {head.size} records, {signed.size} were signed")
        if head.size == signed.size and publication.checkpoint:
            if head.root != signed.root:
                raise LogBrokenError("the audit log's tree is not the one that was signed")
            if not await asyncio.to_thread(folder.checkpoint):  # the folder was lost, or is another's: made anew
                await _grow(publication, signed, folder)
                await asyncio.to_thread(folder.publish, publication.checkpoint)
            return publication.checkpoint
        await _grow(publication, signed, folder)
        text = Checkpoint(signer.key.name, head.size, head.root).text
        note = str(Note(text, (signer.sign(text),)))
        await publication.keep(note)
        await asyncio.to_thread(folder.publish, note)
        return note


def _last(note: str, key: Key) -> Checkpoint:
    if not note:
        return Checkpoint(key.name, 0, merkle.EMPTY_ROOT)
    try:
        return notes.opened(note, key)[1]
    except NoteError as error:
        raise LogBrokenError("the audit log's last checkpoint is not signed by its key") from error


async def _grow(publication: Publication, signed: Checkpoint, folder: Tiles) -> None:
    """Write the tiles from what was signed on; all of them, out of the table, where there is no folder yet.

    A tile that is not what was signed is left as it is: a person has to see it.
    """
    start = Frontier()
    if await asyncio.to_thread(folder.checkpoint):
        try:
            start = await asyncio.to_thread(lambda: TreeOfTiles(signed.size, folder.read).frontier)
        except TileMissingError as error:
            raise LogBrokenError("a tile of the audit log is missing") from error
        if start.root != signed.root:
            raise LogBrokenError("the tiles of the audit log are not those that were signed")
    await _grow_from(start, publication.head.size, publication, signed, folder)


async def _grow_from(frontier: Frontier, end: int, publication: Publication, signed: Checkpoint, folder: Tiles) -> None:
    while frontier.size < end:
        # Up to a whole number of tiles, and not past what was signed: the root there has to be the one that was.
        stop = min(end, (frontier.size // _LEAVES_AT_ONCE + 1) * _LEAVES_AT_ONCE)
        if frontier.size < signed.size:
            stop = min(stop, signed.size)
        leaves = await publication.leaves(frontier.size, stop)
        if len(leaves) != stop - frontier.size:
            raise LogBrokenError("the audit log's records are not all there")
        try:
            written = await asyncio.to_thread(tiles.grow, frontier.size, leaves, folder.read)
        except TileMissingError as error:
            raise LogBrokenError("a tile of the audit log is missing") from error
        frontier = frontier.extend(map(merkle.leaf_hash, leaves))
        if frontier.size == signed.size and frontier.root != signed.root:
            raise LogBrokenError("the audit log's records are not those that were signed")
        if frontier.size == end and frontier != publication.head:
            raise LogBrokenError("the audit log's records are not those that were put into its tree")
        await asyncio.to_thread(folder.write, written)


async def keep_published(
    stopping: asyncio.Event, *, ledger: Ledger, folder: Tiles, signer: Signer, every_seconds: float, log: Log
) -> None:
    """Sign from time to time, until `stopping`, and once more then."""
    told = ""
    while not stopping.is_set():
        told = await _try(lambda: publish(ledger=ledger, folder=folder, signer=signer), log, told)
        with suppress(TimeoutError):
            async with asyncio.timeout(every_seconds):
                await stopping.wait()
    await _try(lambda: publish(ledger=ledger, folder=folder, signer=signer), log, told)


async def _try(attempt: Callable[[], Awaitable[str]], log: Log, told: str) -> str:
    """Say a fault once, not every second."""
    try:
        await attempt()
    except PassingFault as fault:
        if fault.reason != told:
            log.warning("checkpoint.not_signed", code=fault.code, reason=fault.reason)
        return fault.reason
    return ""
