"""The port of the object store: bytes under the name of their sha256. A name tells nothing of whose they are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

from services.store.drafts import Draft

CHUNK_BYTES = 256 * 1024


class ObjectStore(Protocol):
    """What every adapter (`file_objects`, `memory`, later S3) does, and `tests/contract/test_objects.py` asks of it."""

    def draft(self, *, hashed: bool = True) -> Draft:
        """A place for bytes that come in; without `hashed`, for bytes that are never kept."""

    async def keep(self, draft: Draft) -> str:
        """Make a sealed draft durable and give its digest: once this returns, no crash loses it. Idempotent.

        Raises:
            ObjectsUnavailable: it could not be made durable; nothing is visible.
        """

    async def read(self, digest: str, offset: int = 0, length: int | None = None) -> bytes:
        """The object's bytes from `offset`, at most `length` of them (all without it).

        Raises:
            ObjectMissing: no such object.
            ObjectsUnavailable: it could not be read.
        """

    def stream(
        self, digest: str, offset: int = 0, length: int | None = None, chunk: int = CHUNK_BYTES
    ) -> AsyncIterator[bytes]:
        """As `read`, in chunks. Raises the same, at the first chunk."""

    async def remove(self, digest: str, *, untouched_seconds: float) -> bool:
        """Remove an object that nothing names, unless it was kept (again) within the last `untouched_seconds`.

        Returns:
            Whether it is gone; it need not have been there.

        Raises:
            ObjectsUnavailable: it could not be removed.
        """

    async def sweep(self) -> None:
        """Remove drafts that a killed process left, a day ago or earlier. Never touches an object."""

    def path(self, digest: str) -> Path | None:
        """The object as a local file that never changes, where there is one."""
