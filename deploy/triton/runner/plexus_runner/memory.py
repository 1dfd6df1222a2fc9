"""Memory that a job took goes back to the system, so that a model that waits holds little."""

from __future__ import annotations

import ctypes
from contextlib import suppress

_M_MMAP_THRESHOLD = -3
_BYTES = 4 << 20


def give_back() -> None:
    """Have large blocks mapped, and so unmapped as soon as they are free (mallopt(3)).

    Left alone, glibc learns to keep blocks of up to 32 MB, which is what a network's layers are.
    """
    with suppress(AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _BYTES)
