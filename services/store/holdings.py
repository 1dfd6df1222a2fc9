"""Which of many instances are here, by their SOP Instance UIDs alone: what a retrieval and a commitment ask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from services.chassis.database import AWAY
from services.store.errors import IndexUnavailable


@dataclass(frozen=True, slots=True)
class Holding:
    """An instance that the index has.

    Attributes:
        instance_number: as far as it has one.
        digest: sha256 of its object, hex.
        size: of it, in bytes.
    """

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    instance_number: int | None
    digest: str
    size: int


class Holdings:
    """The index, asked by SOP Instance UID."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        """Read through `pool`, whose role may SELECT in the schema `index`."""
        self._pool = pool

    async def held(self, sop_instance_uids: Sequence[str]) -> dict[str, Holding]:
        """Those of the instances that are here, by UID.

        Raises:
            IndexUnavailable: PostgreSQL does not answer.
        """
        try:
            rows = await self._pool.fetch(
                "SELECT st.study_instance_uid, se.series_instance_uid, i.sop_instance_uid, i.sop_class_uid,"
                " i.transfer_syntax_uid, i.instance_number, encode(i.digest, 'hex') AS digest, i.bytes"
                " FROM index.instance i JOIN index.series se ON se.id = i.series"
                " JOIN index.study st ON st.id = se.study"
                " WHERE i.sop_instance_uid = ANY($1::text[])",
                list(sop_instance_uids),
            )
        except AWAY as error:
            raise IndexUnavailable(type(error).__name__) from error
        return {row["sop_instance_uid"]: Holding(*row) for row in rows}
