"""The only place where ports meet adapters."""

from __future__ import annotations

from functools import partial

from services.chassis import database, rpc
from services.chassis.bus import connected
from services.chassis.doors import Doors
from services.chassis.life import told
from services.chassis.outbox import Outbox
from services.chassis.service import Frame, Runtime
from services.contracts import calls, records, subjects
from services.ingest.adapters.book import PostgresBook
from services.ingest.adapters.custody import PostgresCustody
from services.ingest.adapters.deliveries import PostgresDeliveries
from services.ingest.adapters.ledger import PostgresLedger
from services.ingest.adapters.opentelemetry import Tally
from services.ingest.api import deleting, evidence, storing
from services.ingest.errors import http_status
from services.ingest.handlers.removing import remove_forever
from services.ingest.handlers.settling import settle_forever
from services.ingest.handlers.storing import store
from services.ingest.intake import Front
from services.ingest.rpc import Servicer
from services.ingest.settings import Settings
from services.store.discards import Discards
from services.store.file_objects import open_objects
from services.store.sameness import same_data_set

_SCHEMA = "index"
_RELAY_PAUSE_SECONDS = 0.25
"""Each relay costs ingest, NATS, audit and PostgreSQL what some instances cost, however few facts it says."""


async def build(settings: Settings, frame: Frame) -> Runtime:
    """Connect the parts of ingest."""
    enter = frame.parts.enter_async_context
    url = settings.database_url.get_secret_value()
    objects = open_objects(settings.objects_url)
    await objects.sweep()
    await database.migrate(url, package="services.store", schema=_SCHEMA)
    pool = await enter(
        database.connected(url, schema=_SCHEMA, size=settings.database_pool, health=frame.health, stateless=True)
    )
    bus = await enter(
        connected(
            settings.nats_url.get_secret_value(),
            service="ingest",
            log=frame.log,
            health=frame.health,
            ack_wait_seconds=settings.ack_wait_seconds,
            dead_subject=subjects.DEAD,
            identity=frame.identity,
        )
    )
    await bus.ensure(subjects.STREAMS)
    outbox = Outbox(pool, bus, frame.log, pause_seconds=_RELAY_PAUSE_SECONDS)
    lost_seconds = settings.delivery_lost_seconds
    deliveries = PostgresDeliveries(pool, lost_seconds=lost_seconds, log=frame.log)
    book = PostgresBook(pool, outbox, settle_seconds=settings.settle_seconds, lost_seconds=lost_seconds)
    ledger = PostgresLedger(pool, outbox, partial(same_data_set, objects=objects), settings.conflicts)
    custody = PostgresCustody(pool, outbox)
    discards = Discards(pool, objects, rest_seconds=settings.rest_seconds)
    tally = Tally()
    front = Front(
        partial(store, objects=objects, ledger=ledger, tally=tally, log=frame.log),
        objects=objects,
        deliveries=deliveries,
        max_bytes=settings.max_instance_bytes,
        in_flight=settings.instances_in_flight,
    )
    await enter(
        rpc.serving(
            settings.grpc_host,
            settings.grpc_port,
            log=frame.log,
            grace=settings.drain_seconds,
            identity=frame.identity,
            askers=calls.ASKERS,
            doors=Doors(bus, partial(records.door, "ingest"), log=frame.log),
            add=lambda server: calls.add_IngestServicer_to_server(Servicer(front), server),  # type: ignore[no-untyped-call]  # generated
        )
    )
    return Runtime(
        routers=[
            storing.router(front, public_url=settings.public_url, max_metadata_bytes=settings.max_metadata_bytes),
            deleting.router(custody=custody, ledger=ledger, log=frame.log, allowed=settings.deletion),
            evidence.router(custody=custody, ledger=ledger, objects=objects),
        ],
        background=[
            outbox.relay,
            deliveries.beat,
            partial(settle_forever, book=book, tally=tally, log=frame.log),
            partial(remove_forever, discards=discards, log=frame.log),
        ],
        status_of=http_status,
        life=told(bus, partial(records.life, "ingest"), settings),
    )
