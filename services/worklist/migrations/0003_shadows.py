"""The version that runs beside a job, once it is completed, and when that was asked for."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add it."""
    op.execute("ALTER TABLE jobs ADD COLUMN shadow text NOT NULL DEFAULT '', ADD COLUMN shadowed_at timestamptz")
    op.execute(
        "CREATE INDEX jobs_shadow ON jobs (position) WHERE state = 'completed' AND shadow <> '' AND shadowed_at IS NULL"
    )


def downgrade() -> None:
    """Take it away."""
    op.execute("ALTER TABLE jobs DROP COLUMN shadow, DROP COLUMN shadowed_at")
