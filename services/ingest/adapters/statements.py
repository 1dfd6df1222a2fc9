"""The ledger's statements: what is told of instances, and all that is written of those that are new, at once."""

from __future__ import annotations

from typing import Final

from services.store import changes, index


def _telling(first: int = 1, after: str = "true") -> str:
    """CTEs that touch series and say facts.

    Args:
        first: number of the first of six arguments: series with traces and senders; subjects, data and headers.
        after: SQL that is true once the rows are locked that others lock before these.
    """
    series, traces, senders, subjects, data, headers = (f"${number}" for number in range(first, first + 6))
    return f"""touched AS (
    INSERT INTO index.settling (series, pending, touched_at, traceparent, sender)
    SELECT series, true, clock_timestamp(), trace, sender
    FROM unnest({series}::bigint[], {traces}::text[], {senders}::text[]) AS t(series, trace, sender) WHERE {after}
    ON CONFLICT (series) DO UPDATE SET pending = true, touched_at = excluded.touched_at,
        traceparent = excluded.traceparent, sender = excluded.sender
    RETURNING 1
), said AS (
    INSERT INTO index.outbox (subject, data, headers)
    SELECT * FROM unnest({subjects}::text[], {data}::bytea[], {headers}::jsonb[])
)"""  # noqa: S608  # numbers


def _opening(deliveries: str) -> str:
    return f"INSERT INTO index.delivery (id) SELECT DISTINCT unnest({deliveries}::uuid[]) ON CONFLICT (id) DO NOTHING"


def _carrying(series: str, deliveries: str) -> str:
    return f"""INSERT INTO index.delivery_series (series, delivery)
    SELECT * FROM unnest({series}::bigint[], {deliveries}::uuid[]) ON CONFLICT DO NOTHING"""  # noqa: S608  # numbers


TELL: Final = f"WITH {_telling()} SELECT"
OPEN: Final = _opening("$1")
CARRY: Final = _carrying("$1", "$2")
"""That a delivery, once it is open, has changed a series."""
AT_ONCE: Final = ", ".join((
    index.STORE_NEW,
    _telling(14, after=index.STORED_NEW),
    f"opened AS ({_opening('$21')})",
    f"carried AS ({_carrying('$20', '$21')})",
    changes.noting(22, after="(SELECT count(*) FROM touched) > 0"),
))  # fmt: skip
"""New instances of series that are there, and all that is told of them, with the locks in the order of the statements
one by one: rows of instances, series and study, the series that settle, the number of the change. It fails, and has
done nothing, where an instance is there already or a series is not."""
