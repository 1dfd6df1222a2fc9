"""A proof that a record is in the log, in one file that is checked offline (C2SP tlog-proof). Pure.

The file's extra data is the record with the salt of its commitment: who holds the file can read the record, and nobody
can say later that it was another one. Of a record that was erased, it is the commitment alone.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass

from services.audit import commitments, merkle, notes
from services.audit.merkle import HASH_BYTES, ProofError
from services.audit.notes import Checkpoint, Key, Note

_TITLE = "c2sp.org/tlog-proof@v1"
_INDEX = re.compile(r"index (0|[1-9][0-9]{0,18})")
_OPENED, _CLOSED = b"\x01", b"\x00"


@dataclass(frozen=True, slots=True)
class Proof:
    """What the file holds.

    Attributes:
        index: the record's place in the tree, from 0.
        path: the inclusion proof.
        checkpoint: the signed note that it leads to.
        leaf: the commitment, where the record was erased.
        salt: of the commitment, and `record`, its content, where it was not.
    """

    index: int
    path: tuple[bytes, ...]
    checkpoint: str
    leaf: bytes = b""
    salt: bytes = b""
    record: bytes = b""

    def __str__(self) -> str:
        """The file."""
        extra = _OPENED + self.salt + self.record if self.salt else _CLOSED + self.leaf
        lines = (_TITLE, f"extra {_base64(extra)}", f"index {self.index}", *map(_base64, self.path))
        return "\n".join(lines) + f"\n\n{self.checkpoint}"

    @classmethod
    def parse(cls, text: str) -> Proof:
        """The proof of a file.

        Raises:
            ProofError: it is none, or none of ours.
        """
        head, _, checkpoint = text.partition("\n\n")
        try:
            title, extra, index, *path = head.split("\n")
            place = _INDEX.fullmatch(index)
            content = base64.b64decode(extra.removeprefix("extra "), validate=True)
            hashes = tuple(base64.b64decode(each, validate=True) for each in path)
        except (ValueError, binascii.Error) as error:
            raise ProofError("this is no proof of a record") from error
        if title != _TITLE or not extra.startswith("extra ") or not place or any(len(h) != HASH_BYTES for h in hashes):
            raise ProofError("this is no proof of a record")
        kind, rest = content[:1], content[1:]
        if kind == _OPENED and len(rest) > commitments.SALT_BYTES:
            salt, record = rest[: commitments.SALT_BYTES], rest[commitments.SALT_BYTES :]
            return cls(int(place[1]), hashes, checkpoint, salt=salt, record=record)
        if kind == _CLOSED and len(rest) == HASH_BYTES:
            return cls(int(place[1]), hashes, checkpoint, leaf=rest)
        raise ProofError("this is no proof of a record")


def check(proof: Proof, log: Key, witnesses: Sequence[Key] = ()) -> tuple[Note, Checkpoint]:
    """Check a proof against the log's key, and those of the witnesses that have to have signed too.

    Raises:
        ProofError: the record is not in the log that the checkpoint tells of.
        NoteError: the checkpoint is not signed by all of them.
    """
    note, checkpoint = notes.opened(proof.checkpoint, log)
    for witness in witnesses:
        if not note.signed_by(witness):
            raise notes.NoteError(f"{witness.name} has not signed this checkpoint")
    leaf = commitments.commit(proof.salt, proof.record) if proof.salt else proof.leaf
    root = merkle.root_by_inclusion(merkle.leaf_hash(leaf), proof.index, checkpoint.size, proof.path)
    if root != checkpoint.root:
        raise ProofError("the record is not in the log that the checkpoint tells of")
    return note, checkpoint


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
