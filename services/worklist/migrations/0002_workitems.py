"""Work items, who is told of them, and whose turn a job is."""

from alembic import op

revision = "0002"
down_revision = "0001"

_STATEMENTS = (
    """
    ALTER TABLE jobs
        ADD COLUMN priority text NOT NULL DEFAULT 'MEDIUM',
        ADD COLUMN performer text NOT NULL DEFAULT 'mesh',
        ADD COLUMN sender text NOT NULL DEFAULT '',
        ADD COLUMN run integer NOT NULL DEFAULT 0,
        ADD COLUMN trace_parent text NOT NULL DEFAULT '',
        ADD COLUMN deadline timestamptz,
        ADD COLUMN admitted_at timestamptz
    """,
    "UPDATE jobs SET admitted_at = requested_at, sender = study_instance_uid",
    # The same once more, if somebody wants it so, is a run of its own.
    "ALTER TABLE jobs DROP CONSTRAINT jobs_study_instance_uid_series_instance_uid_series_digest_m_key",
    """
    ALTER TABLE jobs ADD CONSTRAINT jobs_once
        UNIQUE (study_instance_uid, series_instance_uid, series_digest, model, model_version, run)
    """,
    "CREATE INDEX jobs_waiting ON jobs (sender, priority, position) WHERE state = 'waiting' AND performer = 'mesh'",
    "CREATE INDEX jobs_deadline ON jobs (deadline) WHERE deadline IS NOT NULL",
    # What changes with every step of the work lies apart: the index of the rest has nothing to do then.
    """
    CREATE TABLE workitems (
        position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        uid text NOT NULL UNIQUE,
        state text NOT NULL,
        transaction_uid text NOT NULL,
        job_id text NOT NULL,
        created_at timestamptz NOT NULL,
        ended_at timestamptz,
        attributes jsonb NOT NULL,
        progress jsonb NOT NULL
    )
    """,
    "CREATE INDEX workitems_state ON workitems (state, position)",
    "CREATE INDEX workitems_job ON workitems (job_id) WHERE job_id <> ''",
    "CREATE INDEX workitems_ended ON workitems (ended_at) WHERE ended_at IS NOT NULL",
    "CREATE INDEX workitems_attributes ON workitems USING gin (attributes jsonb_path_ops)",
    "CREATE TABLE workitems_gone (uid text PRIMARY KEY)",
    """
    CREATE TABLE subscriptions (
        uid text NOT NULL REFERENCES workitems (uid) ON DELETE CASCADE,
        ae_title text NOT NULL,
        locked boolean NOT NULL,
        PRIMARY KEY (uid, ae_title)
    )
    """,
    "CREATE INDEX subscriptions_ae_title ON subscriptions (ae_title)",
    """
    CREATE TABLE worklist_subscriptions (
        ae_title text NOT NULL,
        worklist text NOT NULL,
        locked boolean NOT NULL,
        filter text NOT NULL,
        PRIMARY KEY (ae_title, worklist)
    )
    """,
    """
    CREATE TABLE workitem_events (
        position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        at timestamptz NOT NULL DEFAULT clock_timestamp(),
        ae_titles text[] NOT NULL,
        message jsonb NOT NULL
    )
    """,
)


def upgrade() -> None:
    """Add it."""
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Take it away; of jobs that were made again, the first run stays."""
    op.execute("DROP TABLE workitem_events, worklist_subscriptions, subscriptions, workitems_gone, workitems")
    op.execute("DELETE FROM jobs WHERE run > 0")
    op.execute("UPDATE jobs SET state = 'requested' WHERE state IN ('waiting', 'claimed')")
    op.execute("ALTER TABLE jobs DROP CONSTRAINT jobs_once")
    op.execute("DROP INDEX jobs_waiting, jobs_deadline")
    op.execute(
        "ALTER TABLE jobs DROP COLUMN priority, DROP COLUMN performer, DROP COLUMN sender, DROP COLUMN run,"
        " DROP COLUMN trace_parent, DROP COLUMN deadline, DROP COLUMN admitted_at"
    )
    op.execute(
        "ALTER TABLE jobs ADD UNIQUE (study_instance_uid, series_instance_uid, series_digest, model, model_version)"
    )
