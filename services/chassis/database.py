"""PostgreSQL: a pool, and the migrations that a service carries beside its code."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

import asyncpg

from services.chassis.faults import PassingFault
from services.chassis.health import Health

if TYPE_CHECKING:
    from sqlalchemy import Connection

AWAY = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
)
"""Errors that mean that PostgreSQL is away, full or stopping: the same may pass later."""

PASSING = (*AWAY, asyncpg.TransactionRollbackError)
"""The same, and a transaction that PostgreSQL gave up for another's sake."""

ConnectedT = TypeVar("ConnectedT")
_CONNECT_SECONDS = 30


@asynccontextmanager
async def connected(
    url: str,
    *,
    schema: str,
    size: int,
    health: Health,
    stateless: bool = False,
    session: Mapping[str, str] = MappingProxyType({}),
) -> AsyncIterator[asyncpg.Pool]:
    """A pool whose connections look into `schema` first; `/readyz` asks it.

    Args:
        stateless: nothing is ever left behind on a connection (settings, locks of the session, listeners), so that it
            need not be cleaned after each use, which costs a round trip.
        session: further settings of PostgreSQL, by name.

    Raises:
        PassingFault: no database answered within 30 seconds.
    """
    pool = await _patiently(
        lambda: asyncpg.create_pool(
            url,
            min_size=1,
            max_size=size,
            server_settings={"search_path": schema, "timezone": "UTC", **session},
            reset=_left_as_it_is if stateless else None,
        )
    )

    async def answers() -> None:
        await pool.fetchval("SELECT 1")

    health.add("database", answers)
    try:
        yield pool
    finally:
        await pool.close()


async def _left_as_it_is(_: asyncpg.Connection) -> None:
    """Do nothing."""


async def _patiently(connect: Callable[[], Awaitable[ConnectedT]]) -> ConnectedT:
    until = asyncio.get_running_loop().time() + _CONNECT_SECONDS
    while True:
        try:
            return await connect()
        except (OSError, asyncpg.CannotConnectNowError):
            if asyncio.get_running_loop().time() > until:
                raise PassingFault("database-unreachable", "PostgreSQL does not answer") from None
            await asyncio.sleep(0.2)


@asynccontextmanager
async def passing_as(fault: Callable[[], PassingFault]) -> AsyncIterator[None]:
    """Errors of `PASSING` become a service's own fault, without PostgreSQL's words, which may quote a row."""
    try:
        yield
    except PASSING:
        raise fault() from None


def conditions(wanted: Mapping[str, object]) -> tuple[str, list[object]]:
    """A WHERE clause of what is asked for, and its values.

    Args:
        wanted: a value by its condition without the placeholder, such as `{"job_id = ": "…"}`. The conditions are SQL
            of our own; one whose value is empty is left out.
    """
    found, values = ["true"], []
    for condition, value in wanted.items():
        if value:
            values.append(value)
            found.append(f"{condition}${len(values)}")
    return " AND ".join(found), values


async def migrate(url: str, *, package: str, schema: str) -> None:
    """Bring `schema` to the newest of the Alembic revisions in `<package>/migrations/`.

    Runs under an advisory lock, so that several processes of a service may start at once. A revision is a file with
    `revision`, `down_revision`, `upgrade()` and `downgrade()`, as Alembic has them.

    Raises:
        PassingFault: no database answered within 30 seconds.
    """
    await (await _patiently(lambda: asyncpg.connect(url))).close()
    # SQLAlchemy and Alembic serve the migration alone: a process that has migrated never needs them again.
    from sqlalchemy.ext.asyncio import create_async_engine

    # The driver reads the address itself: SQLAlchemy does not know all of it (sslmode, sslrootcert, …).
    engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(url))
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_upgrade, package, schema)
    finally:
        await engine.dispose()


def _upgrade(connection: Connection, package: str, schema: str) -> None:
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import text

    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": f"plexus.{schema}"})
    # Not `IF NOT EXISTS`: that asks for the right to create before it looks, and a role of ours need not have it.
    if not connection.execute(text("SELECT 1 FROM pg_namespace WHERE nspname = :name"), {"name": schema}).scalar():
        connection.execute(text(f'CREATE SCHEMA "{schema}"'))
    connection.execute(text(f'SET LOCAL search_path TO "{schema}"'))
    config = Config()
    config.set_main_option("script_location", str(files("services.chassis") / "migrations"))
    config.set_main_option("version_locations", str(files(package) / "migrations"))
    config.set_main_option("path_separator", "newline")
    config.attributes["connection"] = connection
    config.attributes["schema"] = schema
    command.upgrade(config, "head")
