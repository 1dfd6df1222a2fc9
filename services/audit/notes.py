"""Signed notes and checkpoints (C2SP signed-note, tlog-checkpoint, tlog-cosignature), Ed25519. Pure.

A note is a text and, behind an empty line, signatures of it. A checkpoint is a note whose text names a log, the size of
its tree and the root. A witness signs the same text with the time at which it saw it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass, replace
from enum import IntEnum

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from services.audit.merkle import HASH_BYTES

_MOST_SIGNATURES = 100
_ID_BYTES = 4
_TIME_BYTES = 8
_SIGNATURE = re.compile(r"\u2014 ([^\s+]+) (\S+)")
_CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f]")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")


class NoteError(ValueError):
    """What was read is no such note, key or checkpoint, or nobody whom we trust has signed it."""


class Kind(IntEnum):
    """What a key signs (signed-note, "Signature types")."""

    LOG = 1
    """Ed25519 over the text."""
    WITNESS = 4
    """Ed25519 over the time and the text (`cosignature/v1`)."""


@dataclass(frozen=True, slots=True)
class Key:
    """Who signs, as others know it: a verifier key."""

    name: str
    kind: Kind
    public: bytes

    @property
    def id(self) -> bytes:
        """What a signature names its key by."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public).digest()[:_ID_BYTES]

    def __str__(self) -> str:
        """As it is given to others: `name+id+key`."""
        return f"{self.name}+{self.id.hex()}+{_base64(bytes([self.kind]) + self.public)}"

    @classmethod
    def parse(cls, text: str) -> Key:
        """The key that `str` gave.

        Raises:
            NoteError: it is none, or of a kind that is not ours.
        """
        try:
            name, identity, encoded = text.strip().split("+", 2)
            data = _bytes(encoded)
            key = cls(name, Kind(data[0]), data[1:])
        except (ValueError, IndexError) as error:
            raise NoteError("this is no verifier key") from error
        if key.id.hex() != identity or len(key.public) != HASH_BYTES or not re.fullmatch(r"[^\s+]+", name):
            raise NoteError("this is no verifier key")
        return key


@dataclass(frozen=True, slots=True)
class Signature:
    """A line behind a note."""

    name: str
    key_id: bytes
    content: bytes

    def __str__(self) -> str:
        """The line."""
        return f"\u2014 {self.name} {_base64(self.key_id + self.content)}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A text with its signatures."""

    text: str
    signatures: tuple[Signature, ...]

    def __str__(self) -> str:
        """As it is kept and sent."""
        return f"{self.text}\n{''.join(map(str, self.signatures))}"

    @classmethod
    def parse(cls, data: str) -> Note:
        """The note of a text.

        Raises:
            NoteError: it is none.
        """
        text, _, lines = data.rpartition("\n\n")
        if not text or not lines.endswith("\n") or _CONTROLS.search(data):
            raise NoteError("this is no signed note")
        found: list[Signature] = []
        for line in lines[:-1].split("\n"):
            parts = _SIGNATURE.fullmatch(line)
            content = _bytes(parts[2]) if parts else b""
            if not parts or len(content) <= _ID_BYTES or len(found) >= _MOST_SIGNATURES:
                raise NoteError("this is no signed note")
            found.append(Signature(parts[1], content[:_ID_BYTES], content[_ID_BYTES:]))
        return cls(text + "\n", tuple(found))

    def signed_by(self, key: Key) -> Signature | None:
        """The signature of `key`; `None` if it has none.

        Raises:
            NoteError: there is one, and it is not right.
        """
        for each in self.signatures:
            if (each.name, each.key_id) == (key.name, key.id):
                try:
                    Ed25519PublicKey.from_public_bytes(key.public).verify(*_signed(key.kind, each.content, self.text))
                except (InvalidSignature, ValueError) as error:
                    raise NoteError(f"the signature of {key.name} is not right") from error
                return each
        return None

    def with_signatures(self, *more: Signature) -> Note:
        """The note with more signatures; of one key, the latest stays."""
        kept = {(each.name, each.key_id): each for each in (*self.signatures, *more)}
        return replace(self, signatures=tuple(kept.values()))


def _signed(kind: Kind, content: bytes, text: str) -> tuple[bytes, bytes]:
    """The Ed25519 signature, and what it is over."""
    if kind is Kind.LOG:
        return content, text.encode()
    return content[_TIME_BYTES:], _cosigned(int.from_bytes(content[:_TIME_BYTES]), text)


def _cosigned(at: int, text: str) -> bytes:
    return f"cosignature/v1\ntime {at}\n{text}".encode()


def cosigned_at(signature: Signature) -> int:
    """When a witness signed, in seconds since 1970."""
    return int.from_bytes(signature.content[:_TIME_BYTES])


class Signer:
    """Who signs."""

    def __init__(self, name: str, kind: Kind, seed: bytes) -> None:
        """Sign as `name` with the Ed25519 key of 32 secret bytes."""
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self.key = Key(name, kind, self._private.public_key().public_bytes_raw())

    def sign(self, text: str, *, at: int = 0) -> Signature:
        """Sign a text; a witness says when (`at`, seconds since 1970)."""
        if self.key.kind is Kind.LOG:
            return Signature(self.key.name, self.key.id, self._private.sign(text.encode()))
        stamp = at.to_bytes(_TIME_BYTES)
        return Signature(self.key.name, self.key.id, stamp + self._private.sign(_cosigned(at, text)))


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How a log stood: what a note of it says."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The text that is signed."""
        return f"{self.origin}\n{self.size}\n{_base64(self.root)}\n"

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """The checkpoint of a note's text. Extension lines are passed over.

        Raises:
            NoteError: it is none.
        """
        origin, size, root, *_ = [*text.split("\n"), "", ""]
        hashed = _bytes(root)
        if not origin or not _SIZE.fullmatch(size) or len(hashed) != HASH_BYTES:
            raise NoteError("this is no checkpoint")
        return cls(origin, int(size), hashed)


def opened(data: str, log: Key) -> tuple[Note, Checkpoint]:
    """A checkpoint that a log has signed, of its own tree.

    Raises:
        NoteError: it is no checkpoint, of another log, or not signed by it.
    """
    note = Note.parse(data)
    checkpoint = Checkpoint.parse(note.text)
    if not note.signed_by(log):
        raise NoteError("the log has not signed this checkpoint")
    if checkpoint.origin != log.name:
        raise NoteError("this checkpoint is of another log")
    return note, checkpoint


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteError("this is no base64") from error
