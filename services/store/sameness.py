"""Whether two objects hold the same instance: one came by STOW-RS and one by C-STORE, say, which write another header.

The file meta information belongs to the file, not to the instance (PS3.10 7.1): who sent it, what wrote it. What counts
is the data set, byte for byte, in the same transfer syntax.
"""

from __future__ import annotations

from services.dicom.part10 import InstanceError, data_set_start
from services.store.errors import ObjectMissing
from services.store.objects import ObjectStore

_HEAD_BYTES = 64 * 1024
"""Preamble and file meta information fit; what has more of it is another object."""
_CHUNK_BYTES = 1024 * 1024


async def same_data_set(first: str, second: str, *, objects: ObjectStore) -> bool:
    """Say whether the data sets of two objects are equal; their transfer syntaxes are known to be.

    Args:
        first: digest of one object.
        second: digest of the other.

    Raises:
        ObjectsUnavailable: they cannot be read now.
    """
    try:
        heads = [await objects.read(digest, 0, _HEAD_BYTES) for digest in (first, second)]
        starts = [data_set_start(head) for head in heads]
        offset = 0
        while True:
            ours, theirs = [
                await objects.read(digest, start + offset, _CHUNK_BYTES)
                for digest, start in zip((first, second), starts, strict=True)
            ]
            if ours != theirs:
                return False
            if len(ours) < _CHUNK_BYTES:
                return True
            offset += len(ours)
    except (InstanceError, ObjectMissing):
        return False
