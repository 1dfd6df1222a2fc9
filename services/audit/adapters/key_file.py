"""The log's signing key, in a file that its owner alone can read; made when there is none."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from services.audit.errors import KeyFileError

SEED_BYTES = 32


def read_seed(path: Path, *, make: bool = False) -> bytes:
    """The 32 secret bytes of an Ed25519 key.

    Args:
        make: make them where there is no such file.

    Raises:
        KeyFileError: the file is missing, of another length, or open to others.
    """
    if make and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(SEED_BYTES))
            file.flush()
            os.fsync(file.fileno())
    try:
        with path.open("rb") as file:
            mode, seed = path.stat().st_mode, file.read(SEED_BYTES + 1)
    except OSError as error:
        raise KeyFileError(f"the key file cannot be read ({type(error).__name__}): {path}") from None
    if mode & 0o077:
        raise KeyFileError(f"the key file is open to others (mode {mode & 0o777:04o}, not 0600): chmod 600 {path}")
    if len(seed) != SEED_BYTES:
        raise KeyFileError(f"the key file does not hold exactly {SEED_BYTES} bytes: {path}")
    return seed
