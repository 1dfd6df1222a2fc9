"""The jobs that take a series beside the one that they are about are found."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the index."""
    op.execute("CREATE INDEX jobs_inputs ON jobs USING gin (inputs jsonb_path_ops)")


def downgrade() -> None:
    """Take it away."""
    op.execute("DROP INDEX jobs_inputs")
