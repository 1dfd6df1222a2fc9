"""The only place where ports meet adapters."""

from __future__ import annotations

import asyncio
from functools import partial

import grpc.aio

from services.anonymise.adapters import key_command
from services.anonymise.adapters.archive import GrpcArchive
from services.anonymise.adapters.key_file import read_keys
from services.anonymise.adapters.postgres import PostgresReleases
from services.anonymise.adapters.quarantine import PostgresQuarantine
from services.anonymise.adapters.work_store import ObstoreWork
from services.anonymise.api import deidentify as deidentify_api
from services.anonymise.api import quarantine as quarantine_api
from services.anonymise.burned_in.cleaner import BurnedIn
from services.anonymise.burned_in.devices import read_rules, shipped_rules
from services.anonymise.burned_in.model import Decision
from services.anonymise.burned_in.workers import Workers
from services.anonymise.defacing.cleaner import Faces
from services.anonymise.engine.deidentifying import Policy
from services.anonymise.engine.profile import default_profile
from services.anonymise.engine.profile_file import read_profile
from services.anonymise.handlers import quarantine as holding
from services.anonymise.handlers import releasing, stopping
from services.anonymise.handlers.releasing import Limits
from services.anonymise.rpc import Airlock
from services.anonymise.settings import Settings
from services.anonymise.subscriptions import subscriptions
from services.chassis import database, rpc
from services.chassis.bus import connected
from services.chassis.doors import Doors
from services.chassis.faults import Fault
from services.chassis.life import told
from services.chassis.outbox import Outbox
from services.chassis.service import Frame, Runtime
from services.contracts import calls, records, subjects
from services.contracts.events import JobCancelled, JobRequested
from services.contracts.work import stopped_key


async def build(settings: Settings, frame: Frame) -> Runtime:
    """The service, of real parts."""
    enter = frame.parts.enter_async_context
    workers = Workers(
        count=settings.reading_workers, memory_bytes=settings.reading_memory_bytes, seconds=settings.reading_seconds
    )
    frame.parts.callback(workers.close)
    rules = read_rules(settings.device_rules) if settings.device_rules else shipped_rules()
    loop = asyncio.get_running_loop()

    def decided(digest: str) -> Decision | None:  # in a thread, in the middle of de-identification
        return asyncio.run_coroutine_threadsafe(quarantine.decided(digest), loop).result()

    pixels = BurnedIn(rules=rules, workers=workers, decided=decided)
    profile = read_profile(settings.profile) if settings.profile else default_profile()
    keys = key_command.read_keys(settings.key_command) if settings.key_command else read_keys(settings.key_file)
    policy = Policy(keys.current, profile, pixels, Faces(workers=workers, decided=decided))
    limits = Limits(settings.instance_concurrency, settings.instance_max_bytes)
    url = settings.database_url.get_secret_value()
    await database.migrate(url, package="services.anonymise", schema="anonymise")
    pool = await enter(database.connected(url, schema="anonymise", size=settings.database_pool, health=frame.health))
    bus = await enter(
        connected(
            settings.nats_url.get_secret_value(),
            service="anonymise",
            log=frame.log,
            health=frame.health,
            ack_wait_seconds=settings.ack_wait_seconds,
            dead_subject=subjects.DEAD,
            identity=frame.identity,
        )
    )
    await bus.wait_for(subjects.STREAMS)
    outbox = Outbox(pool, bus, frame.log)
    releases = PostgresReleases(pool, outbox)
    quarantine = PostgresQuarantine(pool, outbox)
    archive = GrpcArchive(await enter(rpc.channel(settings.archive_address, frame.identity)))
    work = ObstoreWork.at(settings.work_url, settings.work_keys)

    def add(server: grpc.aio.Server) -> None:
        airlock = Airlock(releases, archive, most_bytes=settings.instance_max_bytes)
        calls.add_AnonymiseServicer_to_server(airlock, server)  # type: ignore[no-untyped-call]  # generated

    await enter(
        rpc.serving(
            settings.grpc_host,
            settings.grpc_port,
            log=frame.log,
            grace=settings.drain_seconds,
            add=add,
            identity=frame.identity,
            askers=calls.ASKERS,
            doors=Doors(bus, partial(records.door, "anonymise"), log=frame.log),
        )
    )

    async def handle(requested: JobRequested) -> None:
        if await work.has(stopped_key(requested.job_id, requested.attempt)):
            frame.log.info("job.not_begun", job_id=requested.job_id, model=requested.model)
            return
        released = await holding.release_or_hold(
            requested,
            archive=archive,
            work=work,
            releases=releases,
            quarantine=quarantine,
            bulletin=bus,
            policy=policy,
            limits=limits,
        )
        frame.log.info("job.released" if released else "job.held", job_id=requested.job_id, model=requested.model)

    async def fail(requested: JobRequested, fault: Fault) -> None:
        await releasing.fail(requested, fault, releases=releases)
        frame.log.warning("job.failed", job_id=requested.job_id, code=fault.code)

    async def withdraw(cancelled: JobCancelled) -> None:
        job_id = cancelled.job_id
        if withdrawn := await quarantine.withdraw(job_id):
            frame.log.info("quarantine.withdrawn", job_id=job_id, pictures=withdrawn)
        if await stopping.stop(cancelled, work=work, releases=releases):
            frame.log.info("job.stopped", job_id=job_id)

    heard = subscriptions(handle, fail, withdraw, concurrency=settings.concurrency)
    remind = partial(holding.remind, quarantine=quarantine, bulletin=bus)
    # The content of a key file is compared with the settings; what a command has printed is not.
    current = next(key_id for key_id, key in keys.by_id.items() if key is keys.current)
    also = {"PLEXUS_ANONYMISE_KEY": current} if settings.key_command else {}
    return Runtime(
        routers=[
            deidentify_api.router(policy=policy, releases=releases, most_bytes=settings.request_max_bytes),
            quarantine_api.router(archive=archive, quarantine=quarantine, releases=releases, workers=workers),
        ],
        background=[outbox.relay, remind, *(partial(bus.consume, one) for one in heard)],
        life=told(bus, partial(records.life, "anonymise"), settings, also),
    )
