"""Taking instances out of the index, in the transaction that is open: rows, evidence, and what they leave behind.

Objects stay where they are: what nothing names any more is noted, and `services.store.discards` removes it later.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from services.store.history import ErasedSeries

Connection = asyncpg.Connection | PoolConnectionProxy


async def erase(
    connection: Connection, study_instance_uid: str, series_instance_uid: str = "", sop_instance_uid: str = ""
) -> list[ErasedSeries]:
    """Erase a study, one of its series, or one of its instances, with all evidence under its UIDs.

    Returns:
        What was erased, by series; nothing when there is no such thing.
    """
    study = await connection.fetchval(
        "SELECT id FROM index.study WHERE study_instance_uid = $1 FOR UPDATE", study_instance_uid
    )
    series_rows = await connection.fetch(
        "SELECT id, series_instance_uid FROM index.series"
        " WHERE study = $1 AND ($2 = '' OR series_instance_uid = $2) ORDER BY id FOR UPDATE",
        study,
        series_instance_uid,
    )
    names: dict[int, str] = {row[0]: row[1] for row in series_rows}
    rows = await connection.fetch(
        "DELETE FROM index.instance WHERE series = ANY($1::bigint[]) AND ($2 = '' OR sop_instance_uid = $2)"
        " RETURNING series, sop_instance_uid, encode(digest, 'hex')",
        list(names),
        sop_instance_uid,
    )
    instances: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for series, uid, digest in rows:
        instances[series].append((uid, digest))
    discarded = [(uid, digest) for _, uid, digest in rows]
    evidence = await connection.fetch(
        "DELETE FROM index.conflict WHERE sop_instance_uid = ANY($1::text[]) OR (study_instance_uid = $2"
        " AND ($3 = '' OR series_instance_uid = $3) AND ($4 = '' OR sop_instance_uid = $4))"
        " RETURNING sop_instance_uid, encode(digest, 'hex')",
        [uid for uid, _ in discarded],
        study_instance_uid,
        series_instance_uid,
        sop_instance_uid,
    )
    await discard(connection, [*discarded, *((row[0], row[1]) for row in evidence)])
    gone = await let_go(connection, {series: len(held) for series, held in instances.items()})
    return [
        ErasedSeries(study_instance_uid, names[series], tuple(sorted(held)), series in gone)
        for series, held in sorted(instances.items())
    ]


async def let_go(connection: Connection, lost: dict[int, int]) -> set[int]:
    """Put right what stands above instances that are gone: counts, what a study holds, and rows that are empty now.

    Args:
        lost: how many instances each series has lost, by its key.

    Returns:
        The keys of the series that are gone.
    """
    if not lost:
        return set()
    series = sorted(lost)
    studies = await connection.fetch(
        "UPDATE index.series se SET instance_count = se.instance_count - l.n, change = nextval('index.change_number')"
        " FROM unnest($1::bigint[], $2::integer[]) AS l(id, n) WHERE se.id = l.id"
        " RETURNING se.id, se.study, se.instance_count",
        series,
        [lost[each] for each in series],
    )
    gone = [row["id"] for row in studies if row["instance_count"] == 0]
    # What is left has changed: it settles anew.
    await connection.execute(
        "UPDATE index.settling SET pending = true, touched_at = clock_timestamp() WHERE series = ANY($1::bigint[])",
        [row["id"] for row in studies if row["instance_count"] > 0],
    )
    await connection.execute(
        "INSERT INTO index.erased_series AS e (study_instance_uid, series_instance_uid, revision)"
        " SELECT st.study_instance_uid, se.series_instance_uid, s.revision FROM index.settling s"
        " JOIN index.series se ON se.id = s.series JOIN index.study st ON st.id = se.study"
        " WHERE s.series = ANY($1::bigint[]) AND s.revision > 0"
        " ON CONFLICT (study_instance_uid, series_instance_uid)"
        " DO UPDATE SET revision = greatest(e.revision, excluded.revision)",
        gone,
    )
    for table, column in (("settling", "series"), ("delivery_series", "series"), ("series", "id")):
        await connection.execute(f"DELETE FROM index.{table} WHERE {column} = ANY($1::bigint[])", gone)  # noqa: S608  # names
    by_study: dict[int, int] = defaultdict(int)
    for row in studies:
        by_study[row["study"]] += lost[row["id"]]
    await connection.execute(
        "UPDATE index.study st SET instance_count = st.instance_count - l.n, change = nextval('index.change_number'),"
        " series_count = (SELECT count(*) FROM index.series se WHERE se.study = st.id),"
        " modalities = ARRAY(SELECT DISTINCT modality FROM index.series se"
        " WHERE se.study = st.id AND modality <> '' ORDER BY modality),"
        " sop_classes = ARRAY(SELECT DISTINCT i.sop_class_uid FROM index.series se"
        " JOIN index.instance i ON i.series = se.id WHERE se.study = st.id ORDER BY i.sop_class_uid)"
        " FROM unnest($1::bigint[], $2::integer[]) AS l(id, n) WHERE st.id = l.id",
        list(by_study),
        list(by_study.values()),
    )
    await connection.execute(
        "DELETE FROM index.study WHERE id = ANY($1::bigint[]) AND instance_count = 0", list(by_study)
    )
    return set(gone)


async def discard(connection: Connection, objects: Sequence[tuple[str, str]]) -> None:
    """Note objects that nothing in the index names any more, by SOP Instance UID and sha256 (hex)."""
    if objects:
        uids, digests = zip(*objects, strict=True)
        await connection.execute(
            "INSERT INTO index.discarded (sop_instance_uid, digest)"
            " SELECT * FROM unnest($1::text[], $2::bytea[])"
            " ON CONFLICT (digest) DO UPDATE SET since = clock_timestamp()",
            uids,
            [bytes.fromhex(digest) for digest in digests],
        )
