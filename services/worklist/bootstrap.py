"""The worklist, put together: the only place where its ports meet their adapters."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from functools import partial
from zoneinfo import ZoneInfo

from services.chassis import database, rpc
from services.chassis.bus import connected
from services.chassis.faults import PassingFault
from services.chassis.life import told
from services.chassis.log import Log
from services.chassis.outbox import Outbox
from services.chassis.service import Frame, Runtime
from services.contracts import records, subjects
from services.worklist import shadows
from services.worklist.adapters.archive import GrpcArchive
from services.worklist.adapters.catalogue import GrpcCatalogue
from services.worklist.adapters.changes import JobChanges
from services.worklist.adapters.notifications import ItemNotifications
from services.worklist.adapters.postgres import PostgresJobs
from services.worklist.adapters.workitems import PostgresWorkItems
from services.worklist.admission import Admission
from services.worklist.api import jobs as jobs_api
from services.worklist.api import models as models_api
from services.worklist.api import notifications as notifications_api
from services.worklist.api import workitems as workitems_api
from services.worklist.errors import http_status
from services.worklist.progress import Progress
from services.worklist.settings import Settings
from services.worklist.subscriptions import hear_progress, subscriptions
from services.worklist.turns import Rules

_SWEEP_SECONDS = 60.0


async def build(settings: Settings, frame: Frame) -> Runtime:
    """Connect the parts."""
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

    catalogue = GrpcCatalogue(await enter(rpc.channel(settings.catalogue_address, frame.identity)), frame.log)

    outbox = Outbox(pool, bus, frame.log)
    dicomweb = f"{settings.public_url}/dicom-web"
    rules = Rules(settings.jobs_in_work, timedelta(seconds=settings.patience_seconds))
    admission = Admission(rules=rules, journal=frame.log)
    jobs = PostgresJobs(pool, outbox, dicomweb=dicomweb, moved=admission.wake)
    items = PostgresWorkItems(pool, outbox, dicomweb=dicomweb, moved=admission.wake)
    changes = JobChanges(url, jobs, frame.log, quiet_seconds=settings.heartbeat_seconds)
    notifications = ItemNotifications(url, frame.log)
    progress = Progress(jobs=jobs, journal=frame.log)
    await bus.overhear(subjects.JOB_PROGRESSED, hear_progress(progress))
    consumers = subscriptions(
        catalogue=catalogue,
        archive=archive,
        jobs=jobs,
        journal=frame.log,
        dicomweb=dicomweb,
        zone=ZoneInfo(settings.time_zone) if settings.time_zone else None,
    )
    ups = partial(
        workitems_api.router,
        items=items,
        jobs=jobs,
        archive=archive,
        catalogue=catalogue,
        journal=frame.log,
        public_url=settings.public_url,
    )
    return Runtime(
        routers=[
            jobs_api.router(
                jobs=jobs,
                changes=changes,
                catalogue=catalogue,
                archive=archive,
                journal=frame.log,
                dicomweb=dicomweb,
            ),
            models_api.router(jobs=jobs, catalogue=catalogue, archive=archive, journal=frame.log),
            ups(root="/dicom-web"),
            ups(root=""),
            notifications_api.router(notifications=notifications),
        ],
        background=[
            outbox.relay,
            changes.listen,
            notifications.keep,
            progress.keep,
            partial(admission.keep, jobs),
            partial(shadows.keep, jobs=jobs, catalogue=catalogue),
            partial(_sweep, items, settings.workitem_days, frame.log),
            *(partial(bus.consume, subscription) for subscription in consumers),
        ],
        status_of=http_status,
        websockets=True,
        life=told(bus, partial(records.life, "worklist"), settings),
    )


async def _sweep(items: PostgresWorkItems, days: float, log: Log, stopping: asyncio.Event) -> None:
    """Delete old work items, now and then, until `stopping`."""
    while not stopping.is_set():
        with suppress(PassingFault):
            if deleted := await items.sweep(days):
                log.info("workitems.deleted", workitems=deleted)
        with suppress(TimeoutError):
            async with asyncio.timeout(_SWEEP_SECONDS):
                await stopping.wait()
