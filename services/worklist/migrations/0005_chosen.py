"""The inputs of a job whose series a person chose."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the column."""
    op.execute("ALTER TABLE jobs ADD COLUMN chosen jsonb NOT NULL DEFAULT '[]'")


def downgrade() -> None:
    """Take it away."""
    op.execute("ALTER TABLE jobs DROP COLUMN chosen")
