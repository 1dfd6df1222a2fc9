"""Prove that a record is in the log, in a file that is checked offline."""

from __future__ import annotations

import asyncio

from services.audit import merkle, notes
from services.audit.errors import LogBrokenError
from services.audit.handlers import publishing
from services.audit.handlers.asking import found
from services.audit.handlers.recording import reading, record_reading
from services.audit.merkle import ProofError
from services.audit.model import Entry
from services.audit.notes import NoteError, Signer
from services.audit.ports import Ledger, Tiles
from services.audit.proofs import Proof, check
from services.audit.tiles import TileMissingError, TreeOfTiles
from services.chassis.principal import Principal


async def prove(record_id: str, *, principal: Principal, ledger: Ledger, folder: Tiles, signer: Signer) -> str:
    """The proof of a record, as of now. It holds the record, so it is a reading, and recorded as one.

    Raises:
        UnknownRecordError: there is none of this id.
        LogBrokenError: it cannot be proved, since the log does not hold.
    """
    entry = await found(record_id, ledger=ledger)
    note = await publishing.publish(ledger=ledger, folder=folder, signer=signer)
    # One that a witness has signed too says more; it may be older, and need not have the record yet.
    witnessed = [each for each in await ledger.cosigned() if notes.opened(each, signer.key)[1].size >= entry.seq]
    note = witnessed[0] if witnessed else note
    try:
        proof = await asyncio.to_thread(_proof, entry, note, folder, signer)
    except (ProofError, NoteError, TileMissingError) as error:
        raise LogBrokenError("the record does not prove what the log has signed") from error
    study = entry.index.study_instance_uid
    told = [reading(principal, detail="proof", study_instance_uid=study, instances=1, about=record_id)]
    await record_reading(principal, ledger=ledger, detail="proof", of=told)
    return str(proof)


def _proof(entry: Entry, note: str, folder: Tiles, signer: Signer) -> Proof:
    _, checkpoint = notes.opened(note, signer.key)
    tree = TreeOfTiles(checkpoint.size, folder.read)
    path = tuple(merkle.inclusion_path(entry.seq - 1, checkpoint.size, tree.range_hash))
    if entry.record is None or entry.salt is None:
        proof = Proof(entry.seq - 1, path, note, leaf=entry.leaf)
    else:
        proof = Proof(entry.seq - 1, path, note, salt=entry.salt, record=entry.record)
    check(proof, signer.key)
    return proof
