"""What searching needs beside the first tables: everything that a key can match, found by one index a table."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from services.dicom.dicom_json import loads
from services.store import columns
from services.store.model import Entry

revision = "0002"
down_revision = "0001"

_ROWS_AT_A_TIME = 1000

_COLUMNS = (
    # `more` holds what has no column of its own; `terms` finds a row by any of its values (services/store/terms.py).
    "ALTER TABLE study ADD COLUMN more jsonb NOT NULL DEFAULT '{}', ADD COLUMN terms integer[] NOT NULL DEFAULT '{}'",
    """
    ALTER TABLE series ADD COLUMN more jsonb NOT NULL DEFAULT '{}', ADD COLUMN terms integer[] NOT NULL DEFAULT '{}',
        DROP COLUMN scheduled_procedure_step_ids, DROP COLUMN requested_procedure_ids
    """,
)
_INDEXES = (
    # The list in its order, with what it is filtered by: most of its pages are found without a look at the table.
    "DROP INDEX study_newest",
    """
    CREATE INDEX study_newest ON study (study_date DESC, study_time DESC, id DESC)
        INCLUDE (patient_name, patient_id, accession_number, study_description, modalities)
    """,
    # A study has a hundred terms: they wait in a short list, which searches read too, and go into the index together.
    # One by one they would make the store of a new study take twice as long at 100,000 studies.
    "CREATE INDEX study_terms ON study USING gin (terms) WITH (fastupdate = on, gin_pending_list_limit = 1024)",
    "CREATE INDEX series_terms ON series USING gin (terms) WITH (fastupdate = on, gin_pending_list_limit = 1024)",
    "CREATE INDEX study_sop_classes ON study USING gin (sop_classes) WITH (fastupdate = off)",
    "ALTER INDEX study_modalities SET (fastupdate = off)",
    "CREATE INDEX study_patient_birth_date ON study (patient_birth_date)",
    "CREATE INDEX series_performed ON series (performed_procedure_step_start_date)",
    "CREATE INDEX series_date ON series (series_date)",
    "DROP INDEX study_patient_name",
    # More of the common terms are counted, so that a name that many have is told from one that few have.
    "ALTER TABLE study ALTER COLUMN terms SET STATISTICS 500",
    "ALTER TABLE series ALTER COLUMN terms SET STATISTICS 500",
    # Their counts change with each batch: room in the page keeps the new version beside the old, out of all indexes.
    "ALTER TABLE study SET (fillfactor = 80)",
    "ALTER TABLE series SET (fillfactor = 80)",
)


def upgrade() -> None:
    """Add them, and fill them for what is there."""
    for statement in _COLUMNS:
        op.execute(statement)
    _fill("study", columns.STUDY_COLUMNS, columns.study_row)
    _fill("series", columns.SERIES_COLUMNS, columns.series_row)
    for statement in _INDEXES:
        op.execute(statement)


def _fill(table: str, names: tuple[str, ...], row_of: Any) -> None:
    """Make the columns of all rows again from their attributes."""
    connection = op.get_bind()
    changed = [name for name in names if name not in ("attributes", f"{table}_instance_uid")]
    values = ", ".join(f"{name} = {_typed(name)}" for name in changed)
    statement = sa.text(f"UPDATE {table} SET {values} WHERE id = :id")  # noqa: S608  # names of columns
    last = 0
    while rows := connection.execute(
        sa.text(f"SELECT id, attributes FROM {table} WHERE id > :last ORDER BY id LIMIT :n"),  # noqa: S608  # a name
        {"last": last, "n": _ROWS_AT_A_TIME},
    ).all():
        made = []
        for key, attributes in rows:
            entry = Entry("", "", "", "", "", "", 0, b"", b"", loads(bytes(attributes)))
            made.append({**dict(zip(names, row_of(entry), strict=True)), "id": key})
        connection.execute(statement, [{name: row[name] for name in (*changed, "id")} for row in made])
        last = rows[-1][0]


def _typed(name: str) -> str:
    """`CAST(:more AS text)::jsonb`, say."""
    _, given, *cast = columns.placeholders([name], first=0).split("::")
    return f"CAST(:{name} AS {'::'.join((f'{given})', *cast))}"


def downgrade() -> None:
    """Take it away; what is dropped comes back empty."""
    for name in ("study_terms", "study_sop_classes", "study_patient_birth_date", "series_terms", "series_performed"):
        op.execute(f"DROP INDEX {name}")
    op.execute("DROP INDEX series_date")
    op.execute("CREATE INDEX study_patient_name ON study (patient_name)")
    op.execute("DROP INDEX study_newest")
    op.execute("CREATE INDEX study_newest ON study (study_date DESC, study_time DESC, id DESC)")
    op.execute("ALTER TABLE study DROP COLUMN more, DROP COLUMN terms")
    op.execute(
        "ALTER TABLE series DROP COLUMN more, DROP COLUMN terms,"
        " ADD COLUMN scheduled_procedure_step_ids text[] NOT NULL DEFAULT '{}',"
        " ADD COLUMN requested_procedure_ids text[] NOT NULL DEFAULT '{}'"
    )
