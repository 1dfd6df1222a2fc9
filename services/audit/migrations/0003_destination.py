"""Transfers are found by where they went. Records, salts and leaves stay as they are: the tree does not change."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the column, and let an erasure empty it too."""
    op.execute("ALTER TABLE records ADD COLUMN destination text NOT NULL DEFAULT ''")
    op.execute("CREATE INDEX records_destination ON records (destination, seq) WHERE destination <> ''")
    op.execute(
        """
        CREATE OR REPLACE FUNCTION only_erase() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF OLD.record IS NOT NULL AND OLD.action <> 'audit-erase' AND NEW.record IS NULL AND NEW.salt IS NULL
                AND (NEW.seq, NEW.leaf, NEW.record_id) = (OLD.seq, OLD.leaf, OLD.record_id) AND NEW.at IS NULL
                AND (NEW.action, NEW.caller, NEW.study_instance_uid, NEW.series_instance_uid, NEW.job_id,
                     NEW.destination) = ('', '', '', '', '', '')
            THEN
                RETURN NEW;
            END IF;
            RAISE EXCEPTION 'the audit log is append-only: % is refused', TG_OP
                USING ERRCODE = 'insufficient_privilege';
        END
        $$
        """
    )


def downgrade() -> None:
    """There is no way back: a log that can be dropped by a command is no log."""
    raise NotImplementedError("the audit log is not dropped by a migration")
