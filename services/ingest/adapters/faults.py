"""Which errors of asyncpg mean that PostgreSQL is away, full or stopping: the same may pass later."""

from __future__ import annotations

import asyncpg

AWAY = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
)
