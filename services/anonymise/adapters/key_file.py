"""The keys of the pseudonyms, in files that their owner alone can read.

The current key lies in the file that the settings name. A rotation moves it aside under its id and makes a new one:
what was released under an older key keeps its pseudonyms, and they can still be told by their key's id.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from services.anonymise.engine.pseudonyms import KEY_BYTES, Pseudonyms
from services.anonymise.errors import KeyFileError


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of a site.

    Attributes:
        current: what new pseudonyms are made with.
        by_id: every key that is still there, the current one too.
    """

    current: Pseudonyms
    by_id: Mapping[str, Pseudonyms]


def read_key(path: Path) -> bytes:
    """The key in one file.

    Raises:
        KeyFileError: the file is missing, of another length, or open to others.
    """
    try:
        with path.open("rb") as file:
            mode, key = path.stat().st_mode, file.read(KEY_BYTES + 1)
    except OSError as error:
        raise KeyFileError(f"the key file cannot be read ({type(error).__name__}): {path}") from None
    if mode & 0o077:
        raise KeyFileError(f"the key file is open to others (mode {mode & 0o777:04o}, not 0600): chmod 600 {path}")
    if len(key) != KEY_BYTES:
        raise KeyFileError(f"the key file does not hold exactly {KEY_BYTES} bytes: {path}")
    return key


def read_keys(path: Path) -> Keys:
    """The current key, and those that were rotated out of its place.

    Raises:
        KeyFileError: one of them cannot be used.
    """
    current = Pseudonyms(read_key(path))
    older = [Pseudonyms(read_key(each)) for each in sorted(path.parent.glob(f"{path.name}.*"))]
    return Keys(current, {each.key_id: each for each in (*older, current)})


def rotate(path: Path) -> Keys:
    """A new key in the place of the current one, which stays under its id.

    Raises:
        KeyFileError: the current key cannot be used, or the folder cannot be written.
    """
    current = Pseudonyms(read_key(path))
    fresh = path.with_name(f".{path.name}.fresh")
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        os.link(path, path.with_name(f"{path.name}.{current.key_id}"))  # first the old one is safe, then it gives way
        fresh.replace(path)
    except OSError as error:
        raise KeyFileError(f"the key cannot be rotated ({type(error).__name__}): {path}") from None
    return read_keys(path)
