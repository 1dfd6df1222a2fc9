"""The archive, put together: the only place where its ports meet their adapters."""

from __future__ import annotations

from functools import partial

from services.archive import api
from services.archive.adapters.behind import BehindDocuments
from services.archive.adapters.implicit import PydicomWriter
from services.archive.adapters.nearby import NearbyObjects
from services.archive.adapters.pixels import WorkerDecoder
from services.archive.adapters.places import RecentPlaces
from services.archive.adapters.postgres import PostgresDocuments
from services.archive.adapters.recent import RecentAnswers
from services.archive.adapters.relaxed import RelaxedEvents
from services.archive.adapters.rendering import WorkerRenderer
from services.archive.adapters.totals import PostgresTotals
from services.archive.adapters.workers import Workers
from services.archive.api import changefeed
from services.archive.api.metadata import Metadata
from services.archive.api.qido import Qido
from services.archive.api.rendered import Rendered
from services.archive.api.wado import Wado
from services.archive.errors import http_status
from services.archive.handlers.recording import Accesses
from services.archive.rpc import Servicer
from services.archive.settings import Settings
from services.archive.subscriptions import subscriptions
from services.chassis import database, rpc
from services.chassis.bus import connected
from services.chassis.doors import Doors
from services.chassis.life import told
from services.chassis.service import Frame, Runtime
from services.contracts import calls, records, subjects
from services.store.changes import ChangeFeed
from services.store.file_objects import open_objects
from services.store.holdings import Holdings
from services.store.places import Places
from services.store.reader import IndexReader, reading


async def build(settings: Settings, frame: Frame) -> Runtime:
    """Connect the parts."""
    enter = frame.parts.enter_async_context
    url = settings.database_url.get_secret_value()
    store = open_objects(settings.objects_url)
    objects = NearbyObjects(store)
    await database.migrate(url, package="services.archive", schema="archive")
    pool = await enter(
        database.connected(
            reading(url), schema="archive", size=settings.database_pool, health=frame.health, stateless=True
        )
    )
    bus = await enter(
        connected(
            settings.nats_url.get_secret_value(),
            service="archive",
            log=frame.log,
            health=frame.health,
            ack_wait_seconds=settings.ack_wait_seconds,
            dead_subject=subjects.DEAD,
            identity=frame.identity,
        )
    )
    await bus.wait_for(subjects.STREAMS)
    index = IndexReader(pool)
    documents = BehindDocuments(PostgresDocuments(pool))
    frame.parts.push_async_callback(documents.close)
    # One row by its key, before each frame: planned once, on connections of its own.
    looks = await enter(database.connected(url, schema="archive", size=3, health=frame.health, stateless=True))
    kept_places = Places(looks)
    frame.parts.push_async_callback(kept_places.close)
    places = RecentPlaces(kept_places, max_bytes=settings.places_bytes)
    events = RelaxedEvents(bus, settings.unrecorded, log=frame.log) if settings.unrecorded else bus
    accesses = Accesses(events=events, totals=PostgresTotals(pool))
    frame.parts.push_async_callback(partial(accesses.sum_up, everything=True))
    workers = Workers(
        count=settings.pixel_workers,
        memory_bytes=settings.pixel_memory_bytes,
        seconds=settings.pixel_seconds,
        log=frame.log,
    )
    frame.parts.push_async_callback(workers.close)
    decoder = WorkerDecoder(workers, most_bytes=settings.pixel_memory_bytes // 2)
    servicer = Servicer(
        index=index,
        holdings=Holdings(pool),
        places=places,
        objects=objects,
        events=events,
        accesses=accesses,
        decoder=decoder,
        writer=PydicomWriter(),
        max_results=settings.max_matches,
    )
    await enter(
        rpc.serving(
            settings.grpc_host,
            settings.grpc_port,
            log=frame.log,
            grace=settings.drain_seconds,
            identity=frame.identity,
            askers=calls.ASKERS,
            doors=Doors(bus, partial(records.door, "archive"), log=frame.log),
            add=lambda server: calls.add_ArchiveServicer_to_server(servicer, server),  # type: ignore[no-untyped-call]  # generated
        )
    )
    images = Rendered(
        index=index,
        places=places,
        accesses=accesses,
        answers=RecentAnswers(max_bytes=settings.images_bytes),
        objects=objects,
        renderer=WorkerRenderer(workers),
        files=store.path,
        fonts=settings.annotation_fonts,
        public_url=settings.public_url,
    )
    qido = Qido(index=index, events=events, max_results=settings.max_results, public_url=settings.public_url)
    wado = Wado(
        index=index,
        places=places,
        accesses=accesses,
        objects=objects,
        pixels=decoder,
        public_url=settings.public_url,
    )
    metadata = Metadata(
        index=index,
        documents=documents,
        answers=RecentAnswers(max_bytes=settings.recent_bytes),
        accesses=accesses,
        public_url=settings.public_url,
    )
    routes = api.router(
        qido=qido,
        metadata=metadata,
        wado=wado,
        others=[images.router(), changefeed.router(changes=ChangeFeed(pool), events=events)],
        public_url=settings.public_url,
    )
    return Runtime(
        routers=[routes],
        background=[
            accesses.run,
            workers.run,
            *(partial(bus.consume, each) for each in subscriptions(index=index, documents=documents)),
        ],
        status_of=http_status,
        direct=[wado.direct(), *qido.direct(), *metadata.direct(), *images.direct()],
        life=told(bus, partial(records.life, "archive"), settings),
    )
