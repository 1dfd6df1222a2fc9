"""What accesses that are not over yet add up to, so that the end of a process does not lose it."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the table."""
    op.execute(
        """
        CREATE TABLE access_total (
            record_id text COLLATE "C" PRIMARY KEY,
            event bytea NOT NULL,
            kept_at timestamptz NOT NULL DEFAULT now()
        ) WITH (fillfactor = 50)
        """
    )


def downgrade() -> None:
    """Drop it: totals that nobody has said yet are lost."""
    op.execute("DROP TABLE access_total")
