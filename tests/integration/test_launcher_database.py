"""PostgreSQL as the launcher makes it: who may see what."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from services.launcher import registry
from services.launcher.mesh import Mesh
from services.launcher.settings import Settings

OWN_SCHEMA = {
    "ingest": "index",
    "archive": "archive",
    "worklist": "worklist",
    "anonymise": "anonymise",
    "audit": "audit",
    "catalogue": "catalogue",
}


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    with Mesh(Settings.on_free_ports(tmp_path_factory.mktemp("database"), parts=["postgres"])) as mesh:
        yield mesh


@asynccontextmanager
async def _as(mesh: Mesh, role: str, database: str = "plexus") -> AsyncIterator[asyncpg.Connection]:
    secret = "postgres" if role == "postgres" else f"postgres_{role}"
    password = (mesh.settings.secrets / secret).read_text()
    connection = await asyncpg.connect(f"postgresql://{role}:{password}@{mesh.address('postgres')}/{database}")
    try:
        yield connection
    finally:
        await connection.close()


@pytest.mark.parametrize("role", registry.DATABASE_ROLES)
async def test_a_role_makes_tables_in_its_own_schema_and_nowhere_else(mesh: Mesh, role: str) -> None:
    async with _as(mesh, role) as connection:
        assert await connection.fetchval("SELECT current_schema") == OWN_SCHEMA[role]
        await connection.execute("CREATE TABLE mine (a int)")
        await connection.execute("DROP TABLE mine")
        for schema in ("public", *(OWN_SCHEMA[other] for other in registry.DATABASE_ROLES if other != role)):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(f"CREATE TABLE {schema}.theirs (a int)")


async def test_archive_reads_the_index_and_cannot_write_it(mesh: Mesh) -> None:
    async with _as(mesh, "ingest") as ingest, _as(mesh, "archive") as archive:
        await ingest.execute("CREATE TABLE seen (a int)")
        await ingest.execute("INSERT INTO seen VALUES (1)")
        assert await archive.fetchval("SELECT a FROM index.seen") == 1
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await archive.execute("INSERT INTO index.seen VALUES (2)")
        await ingest.execute("DROP TABLE seen")


@pytest.mark.parametrize("role", ["worklist", "anonymise", "audit", "catalogue"])
async def test_nobody_else_sees_the_index(mesh: Mesh, role: str) -> None:
    async with _as(mesh, "ingest") as ingest, _as(mesh, role) as other:
        await ingest.execute("CREATE TABLE hidden (a int)")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await other.fetch("SELECT * FROM index.hidden")
        await ingest.execute("DROP TABLE hidden")


async def test_a_service_reaches_no_other_database(mesh: Mesh) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with _as(mesh, "ingest", "postgres"):
            pass


async def test_a_wrong_password_is_refused(mesh: Mesh) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(f"postgresql://ingest:wrong@{mesh.address('postgres')}/plexus")


async def test_commits_are_durable_and_errors_log_no_values(mesh: Mesh) -> None:
    async with _as(mesh, "postgres") as connection:
        settings = dict(await connection.fetch("SELECT name, setting FROM pg_settings"))
    assert settings["fsync"] == settings["synchronous_commit"] == settings["full_page_writes"] == "on"
    async with _as(mesh, "ingest") as ingest:
        await ingest.execute("CREATE TABLE once (name text PRIMARY KEY)")
        await ingest.execute("INSERT INTO once VALUES ('Secret^Name')")
        with pytest.raises(asyncpg.UniqueViolationError):
            await ingest.execute("INSERT INTO once VALUES ('Secret^Name')")
        with pytest.raises(asyncpg.PostgresError):
            await ingest.execute("SELECT 'Secret^Name' FROM nothing")
    log = (mesh.settings.logs / "postgres.log").read_text()
    assert "ERROR" in log
    assert "Secret" not in log
