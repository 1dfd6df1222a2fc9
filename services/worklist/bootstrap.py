"""The worklist, put together: the only place where its ports meet their adapters."""

from __future__ import annotations

from functools import partial

from services.chassis import database, rpc
from services.chassis.bus import connected
from services.chassis.life import told
from services.chassis.outbox import Outbox
from services.chassis.service import Frame, Runtime
from services.contracts import records, subjects
from services.worklist import api
from services.worklist.adapters.archive import GrpcArchive
from services.worklist.adapters.cards import read_candidates
from services.worklist.adapters.changes import JobChanges
from services.worklist.adapters.postgres import PostgresJobs
from services.worklist.errors import http_status
from services.worklist.progress import Progress
from services.worklist.settings import Settings
from services.worklist.subscriptions import hear_progress, subscriptions


async def build(settings: Settings, frame: Frame) -> Runtime:
    """Connect the parts; a model that cannot be used stops the start here."""
    candidates = read_candidates(settings.models_folder)
    frame.log.info("models.read", models=[f"{found.card.name} {found.card.version}" for found in candidates])

    enter = frame.parts.enter_async_context
    url = settings.database_url.get_secret_value()
    await database.migrate(url, package="services.worklist", schema="worklist")
    pool = await enter(database.connected(url, schema="worklist", size=settings.database_pool, health=frame.health))
    bus = await enter(
        connected(
            settings.nats_url.get_secret_value(),
            service="worklist",
            log=frame.log,
            health=frame.health,
            ack_wait_seconds=settings.ack_wait_seconds,
            dead_subject=subjects.DEAD,
            identity=frame.identity,
        )
    )
    await bus.wait_for(subjects.STREAMS)
    archive = GrpcArchive(await enter(rpc.channel(settings.archive_address, frame.identity)))

    outbox = Outbox(pool, bus, frame.log)
    jobs = PostgresJobs(pool, outbox)
    changes = JobChanges(url, jobs, frame.log, quiet_seconds=settings.heartbeat_seconds)
    progress = Progress(jobs=jobs, journal=frame.log)
    await bus.overhear(subjects.JOB_PROGRESSED, hear_progress(progress))
    consumers = subscriptions(candidates=candidates, archive=archive, jobs=jobs, journal=frame.log)
    return Runtime(
        routers=[api.router(jobs=jobs, changes=changes, cards=[candidate.card for candidate in candidates])],
        background=[
            outbox.relay,
            changes.listen,
            progress.keep,
            *(partial(bus.consume, subscription) for subscription in consumers),
        ],
        status_of=http_status,
        life=told(bus, partial(records.life, "worklist"), settings),
    )
