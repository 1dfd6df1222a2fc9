"""The version that runs beside the active one, and what it said there."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the column and the table."""
    op.execute("ALTER TABLE models ADD COLUMN shadow text NOT NULL DEFAULT ''")
    op.execute(
        """
        CREATE TABLE shadow_runs (
            position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            at timestamptz NOT NULL,
            name text NOT NULL REFERENCES models,
            active text NOT NULL,
            candidate text NOT NULL,
            job_id text NOT NULL,
            reason_code text NOT NULL,
            reason text NOT NULL,
            active_seconds double precision NOT NULL,
            candidate_seconds double precision NOT NULL,
            figures jsonb NOT NULL,
            UNIQUE (name, active, candidate, job_id)
        )
        """
    )


def downgrade() -> None:
    """Take them away."""
    op.execute("DROP TABLE shadow_runs")
    op.execute("ALTER TABLE models DROP COLUMN shadow")
