"""Releases and the way back from their pseudonyms."""

from alembic import op

from services.chassis import outbox

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the first tables."""
    op.execute(
        """
        CREATE TABLE releases (
            job_id text PRIMARY KEY,
            attempt integer NOT NULL,
            study_instance_uid text NOT NULL,
            series_instance_uid text NOT NULL,
            revision integer NOT NULL,
            series_digest text NOT NULL,
            supersedes text NOT NULL,
            model text NOT NULL,
            model_version text NOT NULL,
            input text NOT NULL,
            instances integer NOT NULL,
            profile text NOT NULL,
            key_id text NOT NULL,
            released_at timestamptz NOT NULL DEFAULT now()
        )
        """
    )
    op.execute(
        """
        CREATE TABLE pseudonyms (
            job_id text NOT NULL REFERENCES releases ON DELETE CASCADE,
            pseudonym text NOT NULL,
            original_uid text NOT NULL,
            kind text NOT NULL,
            PRIMARY KEY (job_id, pseudonym)
        )
        """
    )
    op.execute(outbox.CREATE_TABLE)


def downgrade() -> None:
    """Drop them; the way back of every release is lost."""
    op.execute("DROP TABLE pseudonyms, releases, outbox")
