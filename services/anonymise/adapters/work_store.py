"""The work store by obstore: a folder or a bucket, the same code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import obstore
from obstore.exceptions import BaseError, NotFoundError

from services.anonymise.errors import WorkStoreUnavailableError
from services.chassis.bucket import BucketKeys, open_bucket

if TYPE_CHECKING:
    from obstore.store import ObjectStore


class ObstoreWork:
    """Writes inputs. Use `ObstoreWork.at`.

    A file appears whole or not at all. It is not forced to the disk: what a power cut takes from here, the next attempt
    at the job writes again, byte for byte.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    @classmethod
    def at(cls, url: str, keys: BucketKeys | None = None) -> Self:
        """The store at `url`, see `open_bucket`."""
        return cls(open_bucket(url, keys))

    async def write(self, key: str, data: bytes) -> None:
        """Write a file whole.

        Raises:
            WorkStoreUnavailableError: the store does not take it.
        """
        try:
            await obstore.put_async(self._store, key, data)
        except (BaseError, OSError):
            raise WorkStoreUnavailableError from None

    async def has(self, key: str) -> bool:
        """Whether there is a file of this name.

        Raises:
            WorkStoreUnavailableError: the store does not answer.
        """
        try:
            await obstore.head_async(self._store, key)
        except (NotFoundError, FileNotFoundError):
            return False
        except (BaseError, OSError):
            raise WorkStoreUnavailableError from None
        return True
