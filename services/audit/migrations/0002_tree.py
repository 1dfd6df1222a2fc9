"""From a chain of hashes to a Merkle tree over salted commitments.

A chain that does not hold is not carried over: the upgrade fails and names the record, and nothing is changed.
"""

from alembic import op
from sqlalchemy import text

from services.audit import merkle
from services.audit.merkle import Frontier

revision = "0002"
down_revision = "0001"

_BATCH = 10_000


def upgrade() -> None:
    """Check the chain, commit to its records, and make the tables of the tree."""
    op.execute("LOCK TABLE records, head IN ACCESS EXCLUSIVE MODE")
    _check_chain()
    op.execute("DROP TRIGGER append_only ON records")
    op.execute("ALTER TABLE records ADD COLUMN salt bytea, ADD COLUMN leaf bytea, ALTER COLUMN record DROP NOT NULL")
    # 244 bits of PostgreSQL's strong random source
    op.execute("UPDATE records SET salt = uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())")
    op.execute("UPDATE records SET leaf = sha256(salt || record)")
    op.execute("ALTER TABLE records DROP COLUMN prev_hash, DROP COLUMN hash, ALTER COLUMN leaf SET NOT NULL")
    op.execute(
        "ALTER TABLE records ADD CHECK (octet_length(leaf) = 32), ADD CHECK (octet_length(salt) = 32),"
        " ADD CHECK ((record IS NULL) = (salt IS NULL))"
    )
    _make_tree()
    _make_guards()


def _check_chain() -> None:
    bind = op.get_bind()
    broken = bind.execute(
        text(
            "SELECT min(seq) FROM (SELECT seq, record, prev_hash, hash, row_number() OVER w AS place,"
            " lag(hash, 1, decode(repeat('00', 32), 'hex')) OVER w AS before FROM records WINDOW w AS (ORDER BY seq)) c"
            " WHERE seq <> place OR prev_hash <> before OR hash <> sha256(prev_hash || record)"
        )
    ).scalar()
    if broken is not None:
        raise RuntimeError(f"the audit log's chain breaks at record {broken}: it is not carried over")
    ends = bind.execute(
        text(
            "SELECT seq = (SELECT count(*) FROM records) AND hash = coalesce((SELECT hash FROM records"
            " ORDER BY seq DESC LIMIT 1), decode(repeat('00', 32), 'hex')) FROM head"
        )
    ).scalar()
    if not ends:
        raise RuntimeError("the audit log's chain does not end where its head says: it is not carried over")


def _make_tree() -> None:
    bind = op.get_bind()
    frontier = Frontier()
    while rows := bind.execute(
        text("SELECT leaf FROM records WHERE seq > :after ORDER BY seq LIMIT :batch"),
        {"after": frontier.size, "batch": _BATCH},
    ).all():
        frontier = frontier.extend(merkle.leaf_hash(bytes(row.leaf)) for row in rows)
    op.execute("DROP TABLE head")
    # One row each: a writer locks it, so there is one at a time.
    op.execute(
        "CREATE TABLE tree (single boolean PRIMARY KEY DEFAULT true CHECK (single), size bigint NOT NULL,"
        " frontier bytea NOT NULL)"
    )
    bind.execute(
        text("INSERT INTO tree (size, frontier) VALUES (:size, :frontier)"),
        {"size": frontier.size, "frontier": frontier.to_bytes()},
    )
    op.execute(
        "CREATE TABLE checkpoint (single boolean PRIMARY KEY DEFAULT true CHECK (single),"
        " note text NOT NULL DEFAULT '')"
    )
    op.execute("INSERT INTO checkpoint DEFAULT VALUES")
    op.execute("CREATE TABLE cosigned (witness text PRIMARY KEY, size bigint NOT NULL, note text NOT NULL)")
    op.execute("CREATE TABLE forwarded (target text PRIMARY KEY, seq bigint NOT NULL)")


def _make_guards() -> None:
    op.execute(
        """
        CREATE FUNCTION only_erase() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF OLD.record IS NOT NULL AND OLD.action <> 'audit-erase' AND NEW.record IS NULL AND NEW.salt IS NULL
                AND (NEW.seq, NEW.leaf, NEW.record_id) = (OLD.seq, OLD.leaf, OLD.record_id) AND NEW.at IS NULL
                AND (NEW.action, NEW.caller, NEW.study_instance_uid, NEW.series_instance_uid, NEW.job_id)
                    = ('', '', '', '', '')
            THEN
                RETURN NEW;
            END IF;
            RAISE EXCEPTION 'the audit log is append-only: % is refused', TG_OP
                USING ERRCODE = 'insufficient_privilege';
        END
        $$
        """
    )
    for name, when, each, function in (
        ("append_only", "DELETE OR TRUNCATE ON records", "STATEMENT", "refuse_change"),
        ("erase_only", "UPDATE ON records", "ROW", "only_erase"),
        ("one_tree", "INSERT OR DELETE OR TRUNCATE ON tree", "STATEMENT", "refuse_change"),
    ):
        op.execute(f"CREATE TRIGGER {name} BEFORE {when} FOR EACH {each} EXECUTE FUNCTION {function}()")
        # ALWAYS: also for a session that plays a replica, for which ordinary triggers are off.
        op.execute(f"ALTER TABLE {when.split()[-1]} ENABLE ALWAYS TRIGGER {name}")


def downgrade() -> None:
    """There is no way back: a log that can be dropped by a command is no log."""
    raise NotImplementedError("the audit log is not dropped by a migration")
