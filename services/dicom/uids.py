"""Unique identifiers: what is legal (PS3.5 9.1) and how we make new ones (PS3.5 B.2)."""

import hashlib
import hmac
import re
import uuid

_LEGAL = re.compile(r"[0-9]+(?:\.[0-9]+)*")
_LEADING_ZERO = re.compile(r"(?:^|\.)0[0-9]")
_MAX_LENGTH = 64


def is_legal(uid: str) -> bool:
    """Says whether `uid` may name something here: digits and single dots, at most 64 characters (PS3.5 9.1).

    A component with a leading zero is forbidden by the standard and common in real files, so it is let pass;
    `has_leading_zero` tells.
    """
    return 0 < len(uid) <= _MAX_LENGTH and _LEGAL.fullmatch(uid) is not None


def has_leading_zero(uid: str) -> bool:
    """Says whether a component of `uid` begins with a zero that is not the whole component (PS3.5 9.1)."""
    return _LEADING_ZERO.search(uid) is not None


def new_uid() -> str:
    """Makes a random UID from a UUID (PS3.5 B.2)."""
    return _from_128_bits(uuid.uuid4().bytes)


def derived_uid(*parts: str) -> str:
    """Makes the UID that these parts always give: the first 128 bits of their SHA-256, as a UUID (PS3.5 B.2).

    Args:
        parts: what the UID is made from, in order; no two different lists of parts run together.
    """
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(8, "big"))
        digest.update(encoded)
    return _from_128_bits(digest.digest()[:16])


def keyed_uid(key: bytes, uid: str) -> str:
    """Makes the pseudonym of `uid` under a secret key (HMAC-SHA-256); without the key it cannot be traced back."""
    return _from_128_bits(hmac.digest(key, uid.encode(), "sha256")[:16])


def _from_128_bits(bits: bytes) -> str:
    # The version and variant bits make it a well-formed UUID (version 4), as PS3.5 B.2 asks.
    return f"2.25.{uuid.UUID(bytes=bits, version=4).int}"
