"""A second site's part: look at the log's checkpoint, check that it continues the last one seen, sign it, remember it.

A client of the log's static resources alone (C2SP tlog-tiles): it needs no account there, and believes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from services.audit import merkle, notes
from services.audit.merkle import ProofError
from services.audit.notes import Checkpoint, Key, Note, Signer
from services.audit.tiles import ReadTile, TreeOfTiles


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look has brought.

    Attributes:
        note: the checkpoint with the witness's signature.
        before: how many records the log had at the last look.
    """

    note: Note
    checkpoint: Checkpoint
    before: int


def look(data: str, last: str, *, log: Key, witness: Signer, read: ReadTile, now: Callable[[], float]) -> Seen:
    """Cosign a checkpoint if it continues the last.

    Args:
        data: the log's checkpoint.
        last: the one that this witness signed last; "" for the first look.
        read: tiles of the log.

    Raises:
        NoteError: the checkpoint is not signed by the log, or the last one not by this witness.
        ProofError: the log was cut, or rewritten: the two checkpoints prove it.
        TileMissingError: the log does not show what it signed.
    """
    note, checkpoint = notes.opened(data, log)
    before = Checkpoint(log.name, 0, merkle.EMPTY_ROOT)
    if last:
        kept, before = notes.opened(last, log)
        if not kept.signed_by(witness.key):
            raise notes.NoteError("the checkpoint in the witness's own folder is not signed by its key")
    if checkpoint.size < before.size:
        raise ProofError(f"the log has {checkpoint.size} records; it had {before.size}")
    tree = TreeOfTiles(checkpoint.size, read)
    if tree.root != checkpoint.root:
        raise ProofError("the log's tiles are not those that it has signed")
    path = merkle.consistency_path(before.size, checkpoint.size, tree.range_hash)
    merkle.check_consistency(before.size, checkpoint.size, before.root, checkpoint.root, path)
    return Seen(note.with_signatures(witness.sign(note.text, at=int(now()))), checkpoint, before.size)
