"""Verify: every record against its commitment, every commitment against the tiles, the tree against what was signed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from services.audit import merkle, model, notes
from services.audit.errors import InvalidCheckpointError
from services.audit.handlers import publishing
from services.audit.handlers.recording import record_reading
from services.audit.merkle import Frontier
from services.audit.model import Break, Entry, Flaw
from services.audit.notes import Checkpoint, Key, NoteError, Signer
from services.audit.ports import Ledger, Tiles, Walk
from services.audit.tiles import TileMissingError, TreeOfTiles
from services.audit.walking import TileCheck
from services.chassis.faults import PassingFault
from services.chassis.principal import Principal


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verification found.

    Attributes:
        since: how many records an earlier checkpoint answers for; the walk began behind them.
        records: how many there are, as far as they hold.
        root: of the tree over them.
        broken: the first record at which the log does not hold, and its id where it has one.
        guarded: whether the database refuses to change records.
        checkpoint: the signed checkpoint that the walk was held against.
    """

    since: int
    records: int
    root: bytes
    broken: Break | None
    record_id: str
    guarded: bool
    checkpoint: str


async def verify(*, principal: Principal, ledger: Ledger, folder: Tiles, signer: Signer, since: str = "") -> Verdict:
    """Walk the whole log, or what came after an earlier checkpoint of it.

    Raises:
        InvalidCheckpointError: `since` is no checkpoint that this log has signed.
    """
    earlier = _earlier(since, signer.key)
    with suppress(PassingFault):  # the walk finds out what is wrong, and names it
        await publishing.publish(ledger=ledger, folder=folder, signer=signer)
    # Before the walk: what is signed meanwhile is of a larger log than the one that the walk sees.
    shown = await asyncio.to_thread(folder.checkpoint)
    async with ledger.walk(earlier.size) as walk:
        found = await _Verification(walk, folder, shown, signer.key, earlier).run()
        verdict = Verdict(
            since=earlier.size,
            records=found.frontier.size,
            root=found.frontier.root,
            broken=found.broken,
            record_id=found.record_id,
            guarded=walk.guarded,
            checkpoint=walk.checkpoint,
        )
    try:
        await record_reading(principal, ledger=ledger, detail="verify")
    except PassingFault:
        if verdict.broken is None:
            raise
        # A log that is broken may not take this record either: what was found has to be told all the same.
    return verdict


def _earlier(since: str, key: Key) -> Checkpoint:
    if not since:
        return Checkpoint(key.name, 0, merkle.EMPTY_ROOT)
    try:
        return notes.opened(since, key)[1]
    except NoteError as error:
        raise InvalidCheckpointError(str(error)) from error


class _Verification:
    """One walk."""

    def __init__(self, walk: Walk, folder: Tiles, shown: str, key: Key, earlier: Checkpoint) -> None:
        self._walk = walk
        self._folder = folder
        self._shown = shown
        self._key = key
        self._earlier = earlier
        self._signed: list[Checkpoint] = []
        self._holds_to = earlier.size
        self._unsigned: Break | None = None
        self._erased: dict[str, int] = {}
        self._told: set[str] = set()
        self.frontier = Frontier()
        self.broken: Break | None = None
        self.record_id = ""

    async def run(self) -> _Verification:
        """Walk until something does not hold."""
        self.broken = self._look_at_checkpoints() or await asyncio.to_thread(self._begin)
        if self.broken:
            return self
        check = await asyncio.to_thread(
            TileCheck, self.frontier.size, max((each.size for each in self._signed), default=0), self._folder
        )
        async for entries in self._walk.batches():
            self.broken = await asyncio.to_thread(self._take, entries, check)
            if self.broken:
                seqs = {each.seq: each.index.record_id for each in entries}
                self.record_id = seqs.get(self.broken.seq, "")
                return self
        # A tile that differs names the record; that a root differs says only that there is one.
        self.broken = await asyncio.to_thread(check.finish) or self._unsigned or self._look_at_the_end()
        return self

    def _take(self, entries: Sequence[Entry], check: TileCheck) -> Break | None:
        """A batch: each record as it stands, then its place in the tiles, then in the tree."""
        found = self._look_at(entries) or check.add([each.leaf for each in entries])
        self._extend(entries)
        return found

    def _look_at_checkpoints(self) -> Break | None:
        """What was signed, as the database and the folder have it: neither may say more than there is."""
        size, _ = self._walk.head
        for note in (self._walk.checkpoint, self._shown, *self._walk.cosigned):
            try:
                signed = notes.opened(note, self._key)[1] if note or size else _earlier("", self._key)
            except NoteError:
                return Break(max(size, 1), Flaw.CHECKPOINT)
            if signed.size > max(size, self._earlier.size):
                return Break(size + 1, Flaw.CUT, signed.size)
            if signed.size > self._earlier.size:
                self._signed.append(signed)
        if size < self._earlier.size:
            return Break(size + 1, Flaw.CUT, self._earlier.size)
        return None

    def _begin(self) -> Break | None:
        """The tree that the earlier checkpoint tells of, out of the tiles."""
        try:
            self.frontier = TreeOfTiles(self._earlier.size, self._folder.read).frontier
        except TileMissingError as missing:
            span = missing.tile.span
            first = missing.tile.index * 256 * span
            return Break(first + 1, Flaw.TILE, first + missing.tile.width * span)
        if self.frontier.root != self._earlier.root:
            return Break(1, Flaw.TREE, self._earlier.size)
        return None

    def _look_at(self, entries: Sequence[Entry]) -> Break | None:
        for place, entry in enumerate(entries, self.frontier.size + 1):
            if entry.seq != place:
                return Break(place, Flaw.GAP, entry.seq - 1)
            if flaw := model.flaw_of(entry):
                return Break(entry.seq, flaw)
            if entry.record is None:
                self._erased[entry.index.record_id] = entry.seq
            elif about := model.erased_by(entry):
                self._told.add(about)
        return None

    def _extend(self, entries: Sequence[Entry]) -> None:
        """Let the tree grow, and look at its root wherever one was signed."""
        hashes = [merkle.leaf_hash(entry.leaf) for entry in entries]
        start, end = self.frontier.size, self.frontier.size + len(hashes)
        for signed in sorted(self._signed, key=lambda each: each.size):
            if self.frontier.size <= signed.size <= end:
                self.frontier = self.frontier.extend(hashes[self.frontier.size - start : signed.size - start])
                if self.frontier.root == signed.root:
                    self._holds_to = signed.size
                else:
                    self._unsigned = self._unsigned or Break(self._holds_to + 1, Flaw.TREE, signed.size)
        self.frontier = self.frontier.extend(hashes[self.frontier.size - start :])

    def _look_at_the_end(self) -> Break | None:
        size, data = self._walk.head
        if self.frontier.size < size:
            return Break(self.frontier.size + 1, Flaw.CUT, size)
        if self.frontier.size > size:
            return Break(size + 1, Flaw.TREE, self.frontier.size)
        if self.frontier.to_bytes() != data:
            return Break(*self._differing(data))
        untold = sorted((seq, key) for key, seq in self._erased.items() if key not in self._told)
        if untold:
            seq, self.record_id = untold[0]
            return Break(seq, Flaw.ERASED)
        return None

    def _differing(self, data: bytes) -> tuple[int, Flaw, int]:
        """The first whole subtree of which the database remembers another hash."""
        for (start, end), mine, at in zip(
            merkle.subtrees(self.frontier.size), self.frontier.hashes, range(0, len(data) + 1, merkle.HASH_BYTES),
            strict=False,
        ):  # fmt: skip
            if data[at : at + merkle.HASH_BYTES] != mine:
                return start + 1, Flaw.TREE, end
        return self.frontier.size, Flaw.TREE, self.frontier.size
