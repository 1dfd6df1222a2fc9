"""The audit log, put together: the only place where its ports meet their adapters."""

from __future__ import annotations

from functools import partial

from services.audit import api
from services.audit.adapters.postgres import PostgresLedger
from services.audit.settings import Settings
from services.audit.subscriptions import subscription
from services.chassis import database
from services.chassis.bus import connected
from services.chassis.service import Frame, Runtime
from services.contracts import subjects


async def build(settings: Settings, frame: Frame) -> Runtime:
    """Connect the parts."""
    enter = frame.parts.enter_async_context
    url = settings.database_url.get_secret_value()
    await database.migrate(url, package="services.audit", schema="audit")
    pool = await enter(database.connected(url, schema="audit", size=settings.database_pool, health=frame.health))
    bus = await enter(
        connected(
            settings.nats_url.get_secret_value(),
            service="audit",
            log=frame.log,
            health=frame.health,
            ack_wait_seconds=settings.ack_wait_seconds,
            dead_subject=subjects.DEAD,
        )
    )
    await bus.wait_for(subjects.STREAMS)
    ledger = PostgresLedger(pool)
    recorded = subscription(ledger=ledger, at_once=settings.records_at_once)
    return Runtime(routers=[api.router(ledger=ledger)], background=[partial(bus.consume, recorded)])
