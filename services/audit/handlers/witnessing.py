"""Take in what a witness has signed: a checkpoint of ours, with the witness's own signature under it."""

from __future__ import annotations

from collections.abc import Sequence

from services.audit import notes
from services.audit.errors import InvalidCheckpointError
from services.audit.notes import Key, Kind, NoteError, Signer
from services.audit.ports import Ledger


def witness_keys(text: str) -> tuple[Key, ...]:
    """The witnesses of a setting.

    Raises:
        ValueError: one is no key of a witness.
    """
    keys = tuple(Key.parse(each) for each in text.split())
    if any(key.kind is not Kind.WITNESS for key in keys):
        raise NoteError("a key of the witnesses is none of a witness (cosignature/v1)")
    return keys


async def take_in(cosigned: str, *, ledger: Ledger, signer: Signer, witnesses: Sequence[Key]) -> None:
    """Keep a checkpoint that witnesses of ours have signed.

    Raises:
        InvalidCheckpointError: it is none of this log, or no witness that we know has signed it.
    """
    try:
        note, checkpoint = notes.opened(cosigned, signer.key)
        known = [key for key in witnesses if note.signed_by(key)]
    except NoteError as error:
        raise InvalidCheckpointError(str(error)) from error
    if not known:
        raise InvalidCheckpointError("no witness that this log knows has signed this checkpoint")
    for key in known:
        await ledger.keep_cosigned(str(key), checkpoint.size, str(note))
