"""Which series were let out beside a job's own."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the column: of each series its input's name, its UIDs and those of its instances."""
    op.execute("ALTER TABLE releases ADD COLUMN inputs jsonb NOT NULL DEFAULT '[]'")


def downgrade() -> None:
    """Drop it: the results of jobs in work name such a series no longer."""
    op.execute("ALTER TABLE releases DROP COLUMN inputs")
