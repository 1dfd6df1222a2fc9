"""The work store by obstore: a folder or a bucket, the same code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError

from services.chassis.bucket import BucketKeys, open_bucket
from services.inference.errors import InputDamaged, WorkUnavailable

if TYPE_CHECKING:
    from obstore.store import ObjectStore


class ObstoreWorkStore:
    """A `services.inference.ports.WorkStore`. Use `ObstoreWorkStore.at`."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    @classmethod
    def at(cls, url: str, keys: BucketKeys | None = None) -> Self:
        """The store at `url`, see `open_bucket`."""
        return cls(open_bucket(url, keys))

    async def read(self, key: str) -> bytes:
        """The bytes under `key`; see the port."""
        data = await self.find(key)
        if data is None:
            raise InputDamaged("lacks a file")
        return data

    async def read_start(self, key: str, length: int) -> bytes:
        """The first bytes under `key`; see the port."""
        try:
            return bytes(await obstore.get_range_async(self._store, key, start=0, length=length))
        except (NotFoundError, FileNotFoundError):
            raise InputDamaged("lacks a file") from None
        except (BaseError, OSError):
            # A range that ends behind the file is an error to some stores: then the file is small.
            return (await self.read(key))[:length]

    async def find(self, key: str) -> bytes | None:
        """The bytes under `key`, or None."""
        try:
            found = await obstore.get_async(self._store, key)
            return bytes(await found.bytes_async())
        except (NotFoundError, FileNotFoundError):
            return None
        except (BaseError, OSError) as error:
            raise WorkUnavailable(type(error).__name__) from None

    async def keep(self, key: str, data: bytes, *, replace: bool = False) -> bool:
        """Write whole or not at all; see the port."""
        try:
            await obstore.put_async(self._store, key, data, mode="overwrite" if replace else "create")
        except (AlreadyExistsError, FileExistsError):
            return False
        except (BaseError, OSError) as error:
            raise WorkUnavailable(type(error).__name__) from None
        return True

    async def has(self, key: str) -> bool:
        """Whether there is something under `key`; what is asked for so is small."""
        return await self.find(key) is not None
