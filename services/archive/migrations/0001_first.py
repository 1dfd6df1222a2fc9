"""The prepared metadata of series."""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the table."""
    op.execute(
        """
        CREATE TABLE series_document (
            study_instance_uid text COLLATE "C" NOT NULL,
            series_instance_uid text COLLATE "C" NOT NULL,
            change bigint NOT NULL,
            body bytea NOT NULL,
            prepared_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (study_instance_uid, series_instance_uid)
        )
        """
    )
    # Packing megabytes of JSON costs more time at each read than it saves.
    op.execute("ALTER TABLE series_document ALTER COLUMN body SET STORAGE EXTERNAL")


def downgrade() -> None:
    """Drop it: nothing is lost that the index does not have."""
    op.execute("DROP TABLE series_document")
