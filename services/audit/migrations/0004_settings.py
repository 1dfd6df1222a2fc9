"""Digests of the settings with which services last started, to tell which have changed."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the table."""
    op.execute("CREATE TABLE settings (service text PRIMARY KEY, digests text NOT NULL)")


def downgrade() -> None:
    """Drop it: the next start of each service is taken for its first."""
    op.execute("DROP TABLE settings")
