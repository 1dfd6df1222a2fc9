"""An object store in memory, for tests: it passes the same contract test as the real ones."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator

from services.store.drafts import Draft
from services.store.errors import ObjectMissing, ObjectsUnavailable
from services.store.objects import CHUNK_BYTES


class MemoryObjects:
    """An `ObjectStore` that forgets.

    Attributes:
        objects: what it holds, by digest.
        full: set it, and nothing more can be kept.
    """

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.full = False
        self._kept_at: dict[str, float] = {}

    def draft(self, *, hashed: bool = True) -> Draft:
        """A draft that stays in memory."""
        return Draft(None, hashed=hashed)

    async def keep(self, draft: Draft) -> str:
        """See `ObjectStore.keep`."""
        if self.full:
            raise ObjectsUnavailable("OSError")
        self.objects.setdefault(draft.digest, bytes(draft.content))
        self._kept_at[draft.digest] = time.monotonic()
        return draft.digest

    async def read(self, digest: str, offset: int = 0, length: int | None = None) -> bytes:
        """See `ObjectStore.read`."""
        try:
            data = self.objects[digest]
        except KeyError:
            raise ObjectMissing from None
        return data[offset:] if length is None else data[offset : offset + length]

    async def stream(
        self, digest: str, offset: int = 0, length: int | None = None, chunk: int = CHUNK_BYTES
    ) -> AsyncIterator[bytes]:
        """See `ObjectStore.stream`."""
        data = await self.read(digest, offset, length)
        for start in range(0, len(data), chunk):
            yield data[start : start + chunk]

    async def remove(self, digest: str, *, untouched_seconds: float) -> bool:
        """See `ObjectStore.remove`."""
        if time.monotonic() - self._kept_at.get(digest, -math.inf) < untouched_seconds:
            return False
        self.objects.pop(digest, None)
        return True

    async def sweep(self) -> None:
        """Nothing is left of a draft."""

    def path(self, digest: str) -> None:
        """There are no files."""
