"""When a job may begin, where that is not at once."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the column."""
    op.execute("ALTER TABLE jobs ADD COLUMN not_before timestamptz")


def downgrade() -> None:
    """Take it away."""
    op.execute("ALTER TABLE jobs DROP COLUMN not_before")
