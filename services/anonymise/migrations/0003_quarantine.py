"""Quarantine: doubtful pictures, what people decided about them, and the jobs that wait."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.execute(
        """
        CREATE TABLE quarantine (
            number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            digest text NOT NULL UNIQUE,
            study_instance_uid text NOT NULL,
            series_instance_uid text NOT NULL,
            sop_instance_uid text NOT NULL,
            rows integer NOT NULL,
            columns integer NOT NULL,
            frames integer NOT NULL,
            doubt text NOT NULL,
            grounds text[] NOT NULL,
            found jsonb NOT NULL,
            state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'released', 'refused')),
            masks jsonb NOT NULL DEFAULT '[]',
            held_at timestamptz NOT NULL DEFAULT now(),
            decided_by text NOT NULL DEFAULT '',
            decided_at timestamptz
        )
        """
    )
    op.execute("CREATE INDEX ON quarantine (number) WHERE state = 'waiting'")
    op.execute(
        """
        CREATE TABLE held_jobs (
            job_id text NOT NULL,
            digest text NOT NULL REFERENCES quarantine (digest) ON DELETE CASCADE,
            request bytea NOT NULL,
            PRIMARY KEY (job_id, digest)
        )
        """
    )
    op.execute("CREATE INDEX ON held_jobs (digest)")


def downgrade() -> None:
    """Drop them; what people decided is lost, and the jobs that wait have to be requested again."""
    op.execute("DROP TABLE held_jobs, quarantine")
