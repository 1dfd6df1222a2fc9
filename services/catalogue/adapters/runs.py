"""What candidates said beside the active version, in PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from math import isnan
from typing import Any

import asyncpg

from services.catalogue.errors import DatabaseUnavailableError
from services.catalogue.shadows import Run
from services.chassis.database import passing_as
from services.contracts.events import Figure

_translated = partial(passing_as, DatabaseUnavailableError)
_COLUMNS = "at, name, active, candidate, job_id, reason_code, reason, active_seconds, candidate_seconds, figures"
_KEEP = f"""
INSERT INTO shadow_runs ({_COLUMNS})
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10
WHERE EXISTS (SELECT FROM models WHERE name = $2 AND active = $3 AND shadow = $4)
ON CONFLICT DO NOTHING RETURNING position
"""  # noqa: S608  # the names are our own
_OF = f"SELECT {_COLUMNS} FROM shadow_runs WHERE name = $1 AND active = $2 AND candidate = $3 ORDER BY position"  # noqa: S608


class PostgresRuns:
    """A `services.catalogue.ports.Runs`, in the schema `catalogue`."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def keep(self, run: Run) -> bool:
        """Keep a run, unless it is there or too late; see the port."""
        figures = json.dumps([_plain(figure) for figure in run.figures])
        told = (run.reason_code, run.reason, run.active_seconds, run.candidate_seconds)
        async with _translated():
            kept = await self._pool.fetchval(
                _KEEP, run.at, run.name, run.active, run.candidate, run.job_id, *told, figures
            )
        return kept is not None

    async def of(self, name: str, active: str, candidate: str) -> Sequence[Run]:
        """The runs of a candidate beside a version; see the port."""
        async with _translated():
            rows = await self._pool.fetch(_OF, name, active, candidate)
        return [Run(**dict(row) | {"figures": tuple(map(_figure, json.loads(row["figures"])))}) for row in rows]

    async def last(self, name: str) -> tuple[str, str] | None:
        """The versions of the newest run; see the port."""
        async with _translated():
            row = await self._pool.fetchrow(
                "SELECT active, candidate FROM shadow_runs WHERE name = $1 ORDER BY position DESC LIMIT 1", name
            )
        return None if row is None else (row["active"], row["candidate"])


def _plain(figure: Figure) -> dict[str, Any]:
    """JSON has no NaN: what was not measured is null."""
    return {key: None if isinstance(value, float) and isnan(value) else value for key, value in asdict(figure).items()}


def _figure(values: dict[str, Any]) -> Figure:
    filled: dict[str, Any] = {key: float("nan") if value is None else value for key, value in values.items()}
    return Figure(**filled)
