"""What was done to each instance of a release, and by which key each pseudonym was made."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables. Most instances of a series have the same report, so each is kept once."""
    op.execute("CREATE TABLE reports (digest text PRIMARY KEY, body text NOT NULL)")
    op.execute(
        """
        CREATE TABLE instance_reports (
            job_id text NOT NULL REFERENCES releases ON DELETE CASCADE,
            attempt integer NOT NULL,
            pseudonym text NOT NULL,
            digest text NOT NULL REFERENCES reports,
            PRIMARY KEY (job_id, attempt, pseudonym)
        )
        """
    )
    op.execute("ALTER TABLE pseudonyms ADD COLUMN key_id text NOT NULL DEFAULT ''")


def downgrade() -> None:
    """Drop them; what was done to the instances is no longer known."""
    op.execute("ALTER TABLE pseudonyms DROP COLUMN key_id")
    op.execute("DROP TABLE instance_reports, reports")
