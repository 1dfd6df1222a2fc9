"""The pseudonyms' key, in a file that its owner alone can read."""

from __future__ import annotations

from pathlib import Path

from services.anonymise.errors import KeyFileError
from services.anonymise.pseudonyms import KEY_BYTES


def read_key(path: Path) -> bytes:
    """The key.

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
