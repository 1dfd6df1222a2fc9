"""What the tree holds of a record: a commitment to it, which tells nothing of it.

    leaf = SHA-256(salt || record),  salt = 32 random bytes of the record's own

The salt goes with the record. When both are erased, the leaf stays as it is, the tree and every proof with it, and no
guess of the record can be tested against it.
"""

from __future__ import annotations

import hashlib
import secrets

SALT_BYTES = 32


def new_salt() -> bytes:
    """A salt that nobody can guess."""
    return secrets.token_bytes(SALT_BYTES)


def commit(salt: bytes, record: bytes) -> bytes:
    """The commitment to a record. The salt's length is fixed, so that no two pairs are the same bytes."""
    if len(salt) != SALT_BYTES:
        raise ValueError("a salt has 32 bytes")
    return hashlib.sha256(salt + record).digest()
