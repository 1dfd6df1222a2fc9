"""The work store by obstore: a folder or a bucket, the same code."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Self

import obstore
from obstore.exceptions import BaseError, NotFoundError

from services.chassis.bucket import BucketKeys, open_bucket
from services.encode.errors import ResultMissing, WorkUnavailable

if TYPE_CHECKING:
    from obstore.store import ObjectStore


class WorkStore:
    """Reads results. Use `WorkStore.at`."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    @classmethod
    def at(cls, url: str, keys: BucketKeys | None = None) -> Self:
        """The store at `url`, see `open_bucket`."""
        return cls(open_bucket(url, keys))

    async def read(self, key: str) -> tuple[bytes, datetime]:
        """The bytes under `key`, and when they were written.

        Raises:
            ResultMissing: nothing is there.
            WorkUnavailable: the store does not answer.
        """
        try:
            found = await obstore.get_async(self._store, key)
            return bytes(await found.bytes_async()), found.meta["last_modified"]
        except (NotFoundError, FileNotFoundError):
            raise ResultMissing from None
        except (BaseError, OSError) as error:
            raise WorkUnavailable(type(error).__name__) from None

    async def has(self, key: str) -> bool:
        """Whether there is something under `key`.

        Raises:
            WorkUnavailable: the store does not answer.
        """
        try:
            await obstore.head_async(self._store, key)
        except (NotFoundError, FileNotFoundError):
            return False
        except (BaseError, OSError) as error:
            raise WorkUnavailable(type(error).__name__) from None
        return True
