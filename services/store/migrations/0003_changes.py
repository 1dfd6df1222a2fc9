"""What changes: one order of all changes, evidence by SOP Instance UID, what is erased."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"

_STATEMENTS = (
    # The number of a change is never given twice: a series that was erased and came again differs from what it was.
    "CREATE SEQUENCE change_number",
    "SELECT setval('change_number', 1 + (SELECT coalesce(max(change), 0) FROM study))",
    # What happened, in the order of the commits (services/store/changes.py). One row tells of the instances of a series
    # that changed together; `last` is the number of the last of them, so their numbers end there.
    "CREATE TABLE change_count (last bigint NOT NULL)",
    """
    CREATE TABLE change (
        last bigint PRIMARY KEY,
        at timestamptz NOT NULL DEFAULT clock_timestamp(),
        action text NOT NULL,
        study_instance_uid text NOT NULL,
        series_instance_uid text NOT NULL,
        sop_instance_uids text[] NOT NULL,
        digests bytea NOT NULL
    )
    """,
    """
    INSERT INTO change (last, at, action, study_instance_uid, series_instance_uid, sop_instance_uids, digests)
    SELECT sum(count(*)) OVER (ORDER BY se.id), min(i.stored_at), 'create', st.study_instance_uid,
        se.series_instance_uid, array_agg(i.sop_instance_uid ORDER BY i.id), string_agg(i.digest, '' ORDER BY i.id)
    FROM instance i JOIN series se ON se.id = i.series JOIN study st ON st.id = se.study
    GROUP BY se.id, st.study_instance_uid, se.series_instance_uid
    """,
    "INSERT INTO change_count SELECT coalesce(max(last), 0) FROM change",
    # Evidence is of a SOP Instance UID, whichever row of `instance` is served under it.
    """
    ALTER TABLE conflict ADD COLUMN sop_instance_uid text COLLATE "C",
        ADD COLUMN was_served boolean NOT NULL DEFAULT false
    """,
    "UPDATE conflict c SET sop_instance_uid = i.sop_instance_uid FROM instance i WHERE i.id = c.instance",
    "ALTER TABLE conflict DROP COLUMN instance, ADD PRIMARY KEY (sop_instance_uid, digest)",
    "CREATE INDEX conflict_newest ON conflict (first_seen_at DESC, sop_instance_uid)",
    "CREATE INDEX conflict_study ON conflict (study_instance_uid)",
    # Objects that nothing names any more, as far as is known; the sweeper looks again before it removes one.
    """
    CREATE TABLE discarded (
        digest bytea PRIMARY KEY,
        sop_instance_uid text NOT NULL,
        since timestamptz NOT NULL DEFAULT clock_timestamp()
    )
    """,
    "CREATE INDEX discarded_since ON discarded (since)",
    # Where the revisions of a series go on that was erased and comes again: a revision is never said twice.
    """
    CREATE TABLE erased_series (
        study_instance_uid text NOT NULL,
        series_instance_uid text NOT NULL,
        revision integer NOT NULL,
        PRIMARY KEY (study_instance_uid, series_instance_uid)
    )
    """,
)


def upgrade() -> None:
    """Add it."""
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Take it away."""
    op.execute("DROP TABLE change, change_count, discarded, erased_series")
    op.execute("DROP SEQUENCE change_number")
    op.execute("ALTER TABLE conflict ADD COLUMN instance bigint REFERENCES instance")
    op.execute("UPDATE conflict c SET instance = i.id FROM instance i WHERE i.sop_instance_uid = c.sop_instance_uid")
    op.execute("DELETE FROM conflict WHERE instance IS NULL")
    op.execute("DROP INDEX conflict_newest, conflict_study")
    op.execute(
        "ALTER TABLE conflict DROP CONSTRAINT conflict_pkey, DROP COLUMN sop_instance_uid, DROP COLUMN was_served,"
        " ADD PRIMARY KEY (instance, digest)"
    )
