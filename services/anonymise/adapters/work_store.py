"""The work store by obstore: a folder or a bucket, the same code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, from_url

from services.anonymise.errors import WorkStoreUnavailableError

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
    def at(cls, url: str) -> Self:
        """The store at `url`; a folder is made if need be."""
        parts = urlsplit(url)
        if parts.scheme == "file":
            return cls(LocalStore(unquote(parts.path), mkdir=True))
        return cls(from_url(url))

    async def write(self, key: str, data: bytes) -> None:
        """Write a file whole.

        Raises:
            WorkStoreUnavailableError: the store does not take it.
        """
        try:
            await obstore.put_async(self._store, key, data)
        except (BaseError, OSError):
            raise WorkStoreUnavailableError from None
