"""A cancelled job waits no longer: pictures that no other job waits for are withdrawn, and the job is remembered."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_STATES = "ALTER TABLE quarantine ADD CONSTRAINT quarantine_state_check CHECK (state IN ({}))"


def upgrade() -> None:
    """Make the state and the table."""
    op.execute("ALTER TABLE quarantine DROP CONSTRAINT quarantine_state_check")
    op.execute(_STATES.format("'waiting', 'released', 'refused', 'withdrawn'"))
    op.execute("CREATE TABLE cancelled_jobs (job_id text PRIMARY KEY, cancelled_at timestamptz NOT NULL DEFAULT now())")


def downgrade() -> None:
    """Drop the table; what was withdrawn waits again."""
    op.execute("DROP TABLE cancelled_jobs")
    op.execute("UPDATE quarantine SET state = 'waiting', decided_at = NULL WHERE state = 'withdrawn'")
    op.execute("ALTER TABLE quarantine DROP CONSTRAINT quarantine_state_check")
    op.execute(_STATES.format("'waiting', 'released', 'refused'"))
