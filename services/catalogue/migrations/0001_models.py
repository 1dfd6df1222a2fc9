"""Models, their versions, what was done to them, and the outbox."""

from alembic import op

from services.chassis import outbox

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    op.execute("CREATE TABLE models (name text PRIMARY KEY, active text NOT NULL, previous text NOT NULL)")
    op.execute(
        """
        CREATE TABLE versions (
            position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            name text NOT NULL REFERENCES models,
            version text NOT NULL,
            digest text NOT NULL,
            state text NOT NULL,
            card jsonb NOT NULL,
            owner text NOT NULL,
            made_at timestamptz NOT NULL,
            report jsonb,
            UNIQUE (name, version)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE changes (
            position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            at timestamptz NOT NULL,
            name text NOT NULL REFERENCES models,
            version text NOT NULL,
            what text NOT NULL,
            who text NOT NULL
        )
        """
    )
    op.execute("CREATE INDEX changes_of ON changes (name, position)")
    op.execute(outbox.CREATE_TABLE)


def downgrade() -> None:
    """Drop the tables."""
    for table in ("outbox", "changes", "versions", "models"):
        op.execute(f"DROP TABLE {table}")
