"""The archive, put together: the only place where its ports meet their adapters."""

from __future__ import annotations

from functools import partial

from services.archive import api
from services.archive.adapters.pixels import PydicomDecoder
from services.archive.adapters.postgres import PostgresDocuments
from services.archive.adapters.recent import RecentDocuments
from services.archive.errors import http_status
from services.archive.rpc import Servicer
from services.archive.sending import Sender
from services.archive.settings import Settings
from services.archive.subscriptions import subscriptions
from services.chassis import database, rpc
from services.chassis.bus import connected
from services.chassis.service import Frame, Runtime
from services.contracts import calls, subjects
from services.store.file_objects import open_objects
from services.store.reader import IndexReader


async def build(settings: Settings, frame: Frame) -> Runtime:
    """Connect the parts."""
    enter = frame.parts.enter_async_context
    url = settings.database_url.get_secret_value()
    objects = open_objects(settings.objects_url)
    await database.migrate(url, package="services.archive", schema="archive")
    pool = await enter(database.connected(url, schema="archive", size=settings.database_pool, health=frame.health))
    bus = await enter(
        connected(
            settings.nats_url.get_secret_value(),
            service="archive",
            log=frame.log,
            health=frame.health,
            ack_wait_seconds=settings.ack_wait_seconds,
            dead_subject=subjects.DEAD,
        )
    )
    await bus.ensure(subjects.STREAMS)
    index = IndexReader(pool)
    documents = RecentDocuments(PostgresDocuments(pool), max_bytes=settings.recent_bytes)
    servicer = Servicer(index=index, objects=objects, events=bus)
    await enter(
        rpc.serving(
            settings.grpc_host,
            settings.grpc_port,
            log=frame.log,
            grace=settings.drain_seconds,
            add=lambda server: calls.add_ArchiveServicer_to_server(servicer, server),  # type: ignore[no-untyped-call]  # generated
        )
    )
    routes = api.router(
        index=index,
        documents=documents,
        events=bus,
        sender=Sender(objects=objects, decoder=PydicomDecoder()),
        max_results=settings.max_results,
        public_url=settings.public_url,
    )
    return Runtime(
        routers=[routes],
        background=[partial(bus.consume, each) for each in subscriptions(index=index, documents=documents)],
        status_of=http_status,
    )
