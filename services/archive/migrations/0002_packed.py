"""Prepared metadata is packed."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Forget what is there as it was: it is made again when it is asked for."""
    op.execute("TRUNCATE series_document")


def downgrade() -> None:
    """Forget what is packed."""
    op.execute("TRUNCATE series_document")
