"""An index of an older version keeps its studies, and they are found as new ones are."""

from __future__ import annotations

from importlib.resources import files

import asyncpg
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

from services.chassis import database
from services.dicom.matching import parse_condition
from services.store import index
from services.store.model import Level, Query
from services.store.reader import IndexReader
from tests.integration.test_store_search import entry


async def to_revision(url: str, revision: str) -> None:
    """Bring the schema of the index to a revision, up or down."""

    def change(connection: Connection) -> None:
        connection.execute(text('SET LOCAL search_path TO "index"'))
        config = Config()
        config.set_main_option("script_location", str(files("services.chassis") / "migrations"))
        config.set_main_option("version_locations", str(files("services.store") / "migrations"))
        config.set_main_option("path_separator", "newline")
        config.attributes.update(connection=connection, schema="index")
        command.downgrade(config, revision) if revision != "head" else command.upgrade(config, revision)

    engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://", 1))
    async with engine.begin() as connection:
        await connection.run_sync(change)
    await engine.dispose()


async def test_studies_of_an_older_index_are_found_by_every_key(database_url: str) -> None:
    await database.migrate(database_url, package="services.store", schema="index")
    connection = await asyncpg.connect(database_url)
    try:
        one = entry(
            SpecificCharacterSet="ISO_IR 192", PatientName="Łukasz^Żak", InstitutionName="Szpital", PatientID="P7",
            Modality="CT", SeriesDescription="płuca",
        )  # fmt: skip
        async with connection.transaction():
            await index.record(connection, [one])
        before = await connection.fetchrow("SELECT patient_name, more, terms FROM index.study")
        await to_revision(database_url, "0001")
        await connection.reload_schema_state()
        await connection.execute("UPDATE index.study SET patient_name = 'as it was folded once'")

        await to_revision(database_url, "head")

        assert await connection.fetchrow("SELECT patient_name, more, terms FROM index.study") == before
        reader = IndexReader(connection)  # type: ignore[arg-type]  # it fetches too
        for keyword, key in {
            "PatientName": "*lukasz*",
            "InstitutionName": "szpital",
            "SeriesDescription": "PŁUCA",
        }.items():
            found = await reader.search(Query(Level.SERIES, conditions={keyword: parse_condition(keyword, key)}))
            assert [each.study.study_instance_uid for each in found if each.study] == [one.study_instance_uid]
    finally:
        await connection.close()
