"""Jobs and the outbox."""

from alembic import op

from services.chassis import outbox

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    op.execute("CREATE SEQUENCE job_changes")
    op.execute(
        """
        CREATE TABLE jobs (
            position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            id text NOT NULL UNIQUE,
            model text NOT NULL,
            model_version text NOT NULL,
            study_instance_uid text NOT NULL,
            series_instance_uid text NOT NULL,
            revision integer NOT NULL,
            series_digest text NOT NULL,
            state text NOT NULL,
            step text NOT NULL,
            done bigint NOT NULL,
            total bigint NOT NULL,
            reason_code text NOT NULL,
            reason text NOT NULL,
            supersedes text NOT NULL,
            attempt integer NOT NULL,
            trace_id text NOT NULL,
            requested_at timestamptz NOT NULL,
            released_at timestamptz,
            inferred_at timestamptz,
            finished_at timestamptz,
            results jsonb NOT NULL,
            change bigint NOT NULL,
            UNIQUE (study_instance_uid, series_instance_uid, series_digest, model, model_version)
        )
        """
    )
    op.execute("CREATE INDEX jobs_series ON jobs (series_instance_uid)")
    op.execute("CREATE INDEX jobs_state ON jobs (state, position)")
    op.execute("CREATE INDEX jobs_change ON jobs (change)")
    op.execute(outbox.CREATE_TABLE)


def downgrade() -> None:
    """Drop the tables."""
    op.execute("DROP TABLE outbox")
    op.execute("DROP TABLE jobs")
    op.execute("DROP SEQUENCE job_changes")
