"""The log, its head, and the triggers that refuse to change what is written."""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    op.execute(
        """
        CREATE TABLE records (
            seq bigint PRIMARY KEY,
            record bytea NOT NULL,
            prev_hash bytea NOT NULL CHECK (octet_length(prev_hash) = 32),
            hash bytea NOT NULL CHECK (octet_length(hash) = 32),
            record_id text NOT NULL UNIQUE,
            at timestamptz,
            action text NOT NULL,
            caller text NOT NULL,
            study_instance_uid text NOT NULL,
            series_instance_uid text NOT NULL,
            job_id text NOT NULL
        )
        """
    )
    op.execute("CREATE INDEX records_study ON records (study_instance_uid, seq) WHERE study_instance_uid <> ''")
    op.execute("CREATE INDEX records_series ON records (series_instance_uid, seq) WHERE series_instance_uid <> ''")
    op.execute("CREATE INDEX records_job ON records (job_id, seq) WHERE job_id <> ''")
    op.execute("CREATE INDEX records_caller ON records (caller, seq)")
    op.execute("CREATE INDEX records_at ON records (at)")

    # One row: the writer locks it, so there is one writer at a time and no gap.
    op.execute(
        """
        CREATE TABLE head (
            single boolean PRIMARY KEY DEFAULT true CHECK (single),
            seq bigint NOT NULL,
            hash bytea NOT NULL
        )
        """
    )
    op.execute("INSERT INTO head (seq, hash) VALUES (0, decode(repeat('00', 32), 'hex'))")

    op.execute(
        """
        CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'the audit log is append-only: % is refused', TG_OP
                USING ERRCODE = 'insufficient_privilege';
        END
        $$
        """
    )
    op.execute(
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON records"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    op.execute(
        "CREATE TRIGGER one_head BEFORE INSERT OR DELETE OR TRUNCATE ON head"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    # ALWAYS: also for a session that plays a replica, for which ordinary triggers are off.
    op.execute("ALTER TABLE records ENABLE ALWAYS TRIGGER append_only")
    op.execute("ALTER TABLE head ENABLE ALWAYS TRIGGER one_head")


def downgrade() -> None:
    """There is no way back: a log that can be dropped by a command is no log."""
    raise NotImplementedError("the audit log is not dropped by a migration")
