"""Removing objects that nothing in the index names any more.

An object may be on its way back: the same bytes come again, the store finds them there, and the index is about to name
them. So only what has lain untouched for a while is removed, and the store touches what it finds.
"""

from __future__ import annotations

import asyncpg

from services.chassis.database import AWAY
from services.store.errors import IndexUnavailable
from services.store.objects import ObjectStore

_NEXT = """
SELECT d.digest, EXISTS (
        SELECT FROM index.instance i WHERE i.sop_instance_uid = d.sop_instance_uid AND i.digest = d.digest
    ) OR EXISTS (
        SELECT FROM index.conflict c WHERE c.sop_instance_uid = d.sop_instance_uid AND c.digest = d.digest
    ) AS named
FROM index.discarded d WHERE d.since < clock_timestamp() - make_interval(secs => $1)
ORDER BY d.since LIMIT 1 FOR UPDATE OF d SKIP LOCKED
"""


class Discards:
    """What is to be removed."""

    def __init__(self, pool: asyncpg.Pool, objects: ObjectStore, *, rest_seconds: float) -> None:
        """Objects go `rest_seconds` after nothing named them any more; longer than any store takes."""
        self._pool = pool
        self._objects = objects
        self._rest_seconds = rest_seconds

    async def remove_next(self) -> bool:
        """Remove one object, or see that it is to stay. Any number of processes may do it at once.

        Returns:
            Whether there was one to look at.

        Raises:
            IndexUnavailable: PostgreSQL does not answer.
            ObjectsUnavailable: the object store does not.
        """
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                row = await connection.fetchrow(_NEXT, self._rest_seconds)
                if row is None:
                    return False
                gone = row["named"] or await self._objects.remove(
                    row["digest"].hex(), untouched_seconds=self._rest_seconds
                )
                if gone:
                    await connection.execute("DELETE FROM index.discarded WHERE digest = $1", row["digest"])
                else:
                    await connection.execute(
                        "UPDATE index.discarded SET since = clock_timestamp() WHERE digest = $1", row["digest"]
                    )
        except AWAY as error:
            raise IndexUnavailable(type(error).__name__) from error
        return True
