"""Studies, series, instances; second versions as evidence; deliveries and settling; the outbox."""

from alembic import op

from services.chassis import outbox

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TABLES = (
    # Search columns hold text as services/store/entries.py prepares it. Bytewise order (C) is what date ranges and
    # prefixes need. `attributes` is a DICOM JSON object, served as it is.
    """
    CREATE TABLE study (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        study_instance_uid text COLLATE "C" NOT NULL UNIQUE,
        patient_name text COLLATE "C" NOT NULL,
        patient_id text COLLATE "C" NOT NULL,
        patient_birth_date text COLLATE "C" NOT NULL,
        patient_sex text COLLATE "C" NOT NULL,
        study_date text COLLATE "C" NOT NULL,
        study_time text COLLATE "C" NOT NULL,
        accession_number text COLLATE "C" NOT NULL,
        study_id text COLLATE "C" NOT NULL,
        study_description text COLLATE "C" NOT NULL,
        referring_physician_name text COLLATE "C" NOT NULL,
        modalities text[] NOT NULL DEFAULT '{}',
        sop_classes text[] NOT NULL DEFAULT '{}',
        series_count integer NOT NULL DEFAULT 0,
        instance_count integer NOT NULL DEFAULT 0,
        change bigint NOT NULL DEFAULT 0,
        attributes bytea NOT NULL,
        stored_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX study_newest ON study (study_date DESC, study_time DESC, id DESC)",
    "CREATE INDEX study_patient_id ON study (patient_id)",
    "CREATE INDEX study_patient_name ON study (patient_name)",
    "CREATE INDEX study_accession_number ON study (accession_number)",
    "CREATE INDEX study_modalities ON study USING gin (modalities)",
    # Other studies may hold a series of the same UID (a study that was split or merged elsewhere): both are served.
    """
    CREATE TABLE series (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        study bigint NOT NULL REFERENCES study,
        series_instance_uid text COLLATE "C" NOT NULL,
        modality text COLLATE "C" NOT NULL,
        series_number bigint,
        series_description text COLLATE "C" NOT NULL,
        series_date text COLLATE "C" NOT NULL,
        body_part_examined text COLLATE "C" NOT NULL,
        performed_procedure_step_start_date text COLLATE "C" NOT NULL,
        performed_procedure_step_start_time text COLLATE "C" NOT NULL,
        scheduled_procedure_step_ids text[] NOT NULL,
        requested_procedure_ids text[] NOT NULL,
        instance_count integer NOT NULL DEFAULT 0,
        change bigint NOT NULL DEFAULT 0,
        attributes bytea NOT NULL,
        stored_at timestamptz NOT NULL DEFAULT now(),
        UNIQUE (study, series_instance_uid)
    )
    """,
    "CREATE INDEX series_uid ON series (series_instance_uid)",
    """
    CREATE TABLE instance (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        series bigint NOT NULL REFERENCES series,
        sop_instance_uid text COLLATE "C" NOT NULL UNIQUE,
        sop_class_uid text COLLATE "C" NOT NULL,
        transfer_syntax_uid text COLLATE "C" NOT NULL,
        instance_number bigint,
        rows integer,
        columns integer,
        bits_allocated integer,
        number_of_frames integer,
        digest bytea NOT NULL,
        bytes bigint NOT NULL,
        stored_at timestamptz NOT NULL DEFAULT now(),
        metadata bytea NOT NULL,
        layout bytea NOT NULL
    )
    """,
    "CREATE INDEX instance_series ON instance (series, instance_number, sop_instance_uid)",
    # Other bytes under a SOP Instance UID that is taken: the object is kept, the first one is served.
    """
    CREATE TABLE conflict (
        instance bigint NOT NULL REFERENCES instance,
        digest bytea NOT NULL,
        bytes bigint NOT NULL,
        study_instance_uid text NOT NULL,
        series_instance_uid text NOT NULL,
        first_seen_at timestamptz NOT NULL DEFAULT now(),
        times integer NOT NULL DEFAULT 1,
        PRIMARY KEY (instance, digest)
    )
    """,
    # What one association or one request carried. One that gives no sign of life any more is over.
    """
    CREATE TABLE delivery (
        id uuid PRIMARY KEY,
        opened_at timestamptz NOT NULL DEFAULT now(),
        seen_at timestamptz NOT NULL DEFAULT now(),
        closed_at timestamptz
    )
    """,
    """
    CREATE TABLE delivery_series (
        delivery uuid NOT NULL REFERENCES delivery ON DELETE CASCADE,
        series bigint NOT NULL REFERENCES series,
        PRIMARY KEY (series, delivery)
    )
    """,
    "CREATE INDEX delivery_series_delivery ON delivery_series (delivery)",
    # `digest` and `revision` are of the set that settled last; `traceparent` of the store that came last.
    """
    CREATE TABLE settling (
        series bigint PRIMARY KEY REFERENCES series,
        pending boolean NOT NULL,
        touched_at timestamptz NOT NULL,
        traceparent text NOT NULL,
        revision integer NOT NULL DEFAULT 0,
        digest bytea,
        settled_at timestamptz
    )
    """,
    "CREATE INDEX settling_pending ON settling (touched_at) WHERE pending",
    outbox.CREATE_TABLE,
)


def upgrade() -> None:
    """Make the tables."""
    for statement in _TABLES:
        op.execute(statement)


def downgrade() -> None:
    """Drop them."""
    op.execute("DROP TABLE outbox, settling, delivery_series, delivery, conflict, instance, series, study")
