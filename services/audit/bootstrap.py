"""The audit log, put together: the only place where its ports meet their adapters."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import httpx

from services.audit.adapters.archive import ArchivePatients
from services.audit.adapters.feed import FhirReceiver
from services.audit.adapters.folder import FolderTiles
from services.audit.adapters.key_file import read_seed
from services.audit.adapters.postgres import SESSION, PostgresLedger
from services.audit.adapters.syslog import SyslogReceiver, tls
from services.audit.api import asking
from services.audit.api import tiles as tile_api
from services.audit.handlers import publishing
from services.audit.handlers.forwarding import keep_forwarding
from services.audit.handlers.witnessing import witness_keys
from services.audit.log import AuditLog
from services.audit.notes import Kind, Signer
from services.audit.ports import Receiver
from services.audit.settings import Settings
from services.audit.subscriptions import subscription
from services.chassis import database, rpc
from services.chassis.bus import connected
from services.chassis.life import told
from services.chassis.service import Background, Frame, Runtime
from services.contracts import records, subjects


async def build(settings: Settings, frame: Frame) -> Runtime:
    """Connect the parts."""
    enter = frame.parts.enter_async_context
    url = settings.database_url.get_secret_value()
    await database.migrate(url, package="services.audit", schema="audit")
    pool = await enter(
        database.connected(url, schema="audit", size=settings.database_pool, health=frame.health, session=SESSION)
    )
    ledger = PostgresLedger(pool)
    # A key that is lost is not made again without a word: what it has signed could not be told from a forgery.
    seed = read_seed(settings.key_file, make=not await ledger.is_signed())
    log = AuditLog(
        ledger=ledger,
        folder=FolderTiles(settings.folder),
        signer=Signer(settings.origin, Kind.LOG, seed),
        patients=ArchivePatients(await enter(rpc.channel(settings.archive_address, frame.identity))),
        witnesses=witness_keys(settings.witnesses),
    )
    bus = await enter(
        connected(
            settings.nats_url.get_secret_value(),
            service="audit",
            log=frame.log,
            health=frame.health,
            ack_wait_seconds=settings.ack_wait_seconds,
            dead_subject=subjects.DEAD,
            identity=frame.identity,
        )
    )
    await bus.wait_for(subjects.STREAMS)
    background: list[Background] = [
        partial(bus.consume_batches, subscription(ledger=ledger, at_once=settings.records_at_once)),
        partial(
            publishing.keep_published,
            ledger=ledger,
            folder=log.folder,
            signer=log.signer,
            every_seconds=settings.checkpoint_seconds,
            log=frame.log,
        ),
    ]
    async for receiver in _receivers(settings, frame):
        background.append(
            partial(
                keep_forwarding,
                ledger=ledger,
                cursors=ledger,
                patients=log.patients,
                receiver=receiver,
                at_once=settings.forward_at_once,
                log=frame.log,
            )
        )
    return Runtime(
        # The tiles below both: at the service's own root, and where the edge reaches it.
        routers=[asking.router(log), tile_api.router(log.folder), tile_api.router(log.folder, "/audit")],
        background=background,
        status_of=asking.status_of,
        life=told(bus, partial(records.life, "audit"), settings),
    )


async def _receivers(settings: Settings, frame: Frame) -> AsyncIterator[Receiver]:
    """Where the log is forwarded to, as far as that is set."""
    if not settings.syslog_host and not settings.fhir_url:
        return
    context = tls(settings.forward_ca, settings.tls_certificate, settings.tls_key)
    seconds = settings.forward_timeout_seconds
    if settings.syslog_host:
        receiver = SyslogReceiver(settings.syslog_host, settings.syslog_port, context, seconds=seconds)
        frame.parts.callback(receiver.close)
        yield receiver
    if settings.fhir_url:
        token = settings.fhir_token
        headers = {"Authorization": f"Bearer {token.get_secret_value()}"} if token else {}
        client = httpx.AsyncClient(verify=context, timeout=seconds, headers=headers)
        yield FhirReceiver(await frame.parts.enter_async_context(client), settings.fhir_url)
