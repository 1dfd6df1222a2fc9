"""Models in PostgreSQL. Each change is kept, noted in the history and said (outbox) in one transaction."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import asyncpg

from services.catalogue.errors import DatabaseUnavailableError
from services.catalogue.model import Change, Model, State, Version
from services.catalogue.ports import Decision
from services.chassis.database import passing_as
from services.chassis.outbox import Outbox

_translated = partial(passing_as, DatabaseUnavailableError)
_CHANGES_SHOWN = 200
_KEEP = """
INSERT INTO versions (name, version, digest, state, card, owner, made_at, report)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (name, version) DO UPDATE SET digest = $3, state = $4, card = $5, owner = $6, made_at = $7, report = $8
"""


class PostgresModels:
    """A `services.catalogue.ports.Models`, in the schema `catalogue`."""

    def __init__(self, pool: asyncpg.Pool, outbox: Outbox) -> None:
        self._pool = pool
        self._outbox = outbox

    async def decide(self, name: str, decide: Callable[[Model], Decision]) -> Model:
        """Keep and say what `decide` makes of a model; see the port."""
        async with _translated(), self._pool.acquire() as connection, connection.transaction():
            # A row that is not there yet cannot be locked: the name is.
            await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", name)
            row = await connection.fetchrow("SELECT * FROM models WHERE name = $1", name)
            rows = await connection.fetch("SELECT * FROM versions WHERE name = $1 ORDER BY position DESC", name)
            before = _model(row, rows) if row else Model(name, _versions(rows))
            decision = decide(before)
            await self._keep(connection, before, decision)
        self._outbox.wake()
        return decision.model

    async def _keep(self, connection: asyncpg.pool.PoolConnectionProxy, before: Model, decision: Decision) -> None:
        model = decision.model
        if model == before:
            return
        await connection.execute(
            "INSERT INTO models (name, active, previous, shadow) VALUES ($1, $2, $3, $4)"
            " ON CONFLICT (name) DO UPDATE SET active = $2, previous = $3, shadow = $4",
            *(model.name, model.active, model.previous, model.shadow),
        )
        for one in model.versions:
            if one != before.version(one.version):
                report = None if one.report is None else json.dumps(one.report)
                values = (*one.key, one.digest, one.state, json.dumps(one.card), one.owner, one.made_at, report)
                await connection.execute(_KEEP, *values)
        for change in decision.changes:
            await connection.execute(
                "INSERT INTO changes (at, name, version, what, who) VALUES ($1, $2, $3, $4, $5)",
                *(change.at, change.name, change.version, change.what, change.who),
            )
        for record in decision.records:
            await self._outbox.append(connection, record)

    async def get(self, name: str) -> Model | None:
        """The model; see the port."""
        found = await self._read("WHERE name = $1", name)
        return found[0] if found else None

    async def list(self) -> Sequence[Model]:
        """All models; see the port."""
        return await self._read("")

    async def changes(self, name: str) -> Sequence[Change]:
        """What was done to a model; see the port."""
        async with _translated():
            rows = await self._pool.fetch(
                "SELECT at, name, version, what, who FROM changes WHERE name = $1 ORDER BY position DESC LIMIT $2",
                *(name, _CHANGES_SHOWN),
            )
        return [Change(*row) for row in rows]

    async def _read(self, where: str, *values: str) -> Sequence[Model]:
        async with (
            _translated(),
            self._pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read"),
        ):
            models = await connection.fetch(f"SELECT * FROM models {where} ORDER BY name", *values)  # noqa: S608  # our own
            rows = await connection.fetch(f"SELECT * FROM versions {where} ORDER BY position DESC", *values)  # noqa: S608
        return [_model(model, (row for row in rows if row["name"] == model["name"])) for model in models]


def _model(row: asyncpg.Record, versions: Iterable[asyncpg.Record]) -> Model:
    return Model(row["name"], _versions(versions), row["active"], row["previous"], row["shadow"])


def _versions(rows: Iterable[asyncpg.Record]) -> tuple[Version, ...]:
    return tuple(
        Version(
            row["name"],
            row["version"],
            row["digest"],
            State(row["state"]),
            json.loads(row["card"]),
            row["owner"],
            row["made_at"],
            None if row["report"] is None else json.loads(row["report"]),
        )
        for row in rows
    )
