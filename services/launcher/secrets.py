"""The mesh's secrets: random, made once, in files that only their owner can read."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from services.launcher import registry


def ensure(folder: Path) -> None:
    """Makes what is missing; never replaces what is there.

    Losing `anonymise.key` loses the way back from pseudonyms, so it is created once and only read afterwards.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    for name in registry.PASSWORDS:
        # begins with a letter: NATS reads a value from its environment as a number where it looks like one
        _create(folder / name, f"k{secrets.token_hex(24)}".encode())
    for name in registry.KEYS:
        _create(folder / name, secrets.token_bytes(32))


def passwords(folder: Path) -> dict[str, str]:
    """All passwords by name."""
    return {name: (folder / name).read_text() for name in registry.PASSWORDS}


def _create(path: Path, content: bytes) -> None:
    if path.exists():
        return
    # written whole under another name, then linked: never half a key, never over an existing one
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(partial, path)
    except FileExistsError:
        pass
    finally:
        partial.unlink()
