"""The catalogue, put together: the only place where its ports meet their adapters."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from itertools import count

from services.catalogue import api, handlers
from services.catalogue.adapters import triton
from services.catalogue.adapters.environments import UvEnvironments
from services.catalogue.adapters.folder import FolderPackages
from services.catalogue.adapters.overlay import OverlayPictures
from services.catalogue.adapters.postgres import PostgresModels
from services.catalogue.adapters.runs import PostgresRuns
from services.catalogue.errors import http_status
from services.catalogue.rpc import Active
from services.catalogue.settings import Settings
from services.catalogue.subscriptions import subscriptions
from services.chassis import database, rpc
from services.chassis.bus import connected
from services.chassis.doors import Doors
from services.chassis.faults import PassingFault
from services.chassis.life import told
from services.chassis.outbox import Outbox
from services.chassis.service import Frame, Runtime
from services.contracts import calls, records, subjects

_TRIED_AGAIN = 30
"""A model that Triton could not load is tried every so many turns of watching."""


async def build(settings: Settings, frame: Frame) -> Runtime:
    """Connect the parts; a shipped package that cannot be used stops the start here."""
    enter = frame.parts.enter_async_context
    url = settings.database_url.get_secret_value()
    await database.migrate(url, package="services.catalogue", schema="catalogue")
    pool = await enter(database.connected(url, schema="catalogue", size=settings.database_pool, health=frame.health))
    bus = await enter(
        connected(
            settings.nats_url.get_secret_value(),
            service="catalogue",
            log=frame.log,
            health=frame.health,
            ack_wait_seconds=settings.ack_wait_seconds,
            dead_subject=subjects.DEAD,
            identity=frame.identity,
        )
    )
    await bus.wait_for(subjects.STREAMS)
    outbox = Outbox(pool, bus, frame.log)
    models, runs = PostgresModels(pool, outbox), PostgresRuns(pool)
    packages = FolderPackages(settings.packages_folder, max_bytes=settings.package_max_bytes)
    await handlers.ship(settings.shipped_folder, models=models, packages=packages, journal=frame.log)
    environments = UvEnvironments(
        settings.environments_folder,
        python=settings.python,
        wheels=settings.wheels_folder,
        index=settings.index_url.get_secret_value(),
        seconds=settings.environment_seconds,
    )
    await handlers.tidy(models=models, packages=packages, environments=environments)
    server = await enter(
        triton.connected(
            settings.triton_address,
            settings.repository_folder,
            load_seconds=settings.load_seconds,
            environments=environments,
            trusted=settings.trusted_packages,
            backends=settings.backends,
        )
    )
    missing: frozenset[str] | None = None

    async def watch(stopping: asyncio.Event) -> None:
        nonlocal missing
        for turn in count():
            if stopping.is_set():
                return
            # What Triton could not load is not tried each time: it takes a while to fail.
            left_out = missing if missing and turn % _TRIED_AGAIN else frozenset()
            try:
                missing = await handlers.serve_all(
                    models=models, packages=packages, server=server, journal=frame.log, left_out=left_out
                )
            except PassingFault as fault:
                missing = None
                frame.log.warning("models.not_watched", code=fault.code)
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), settings.watch_seconds)

    async def served() -> None:
        if missing is None:
            raise PassingFault("models-not-loaded", "the models in use are not loaded yet")

    frame.health.add("models", served)
    await enter(
        rpc.serving(
            settings.grpc_host,
            settings.grpc_port,
            log=frame.log,
            grace=settings.drain_seconds,
            add=lambda answering: calls.add_CatalogueServicer_to_server(Active(models), answering),  # type: ignore[no-untyped-call]  # generated
            identity=frame.identity,
            askers=calls.ASKERS,
            doors=Doors(bus, partial(records.door, "catalogue"), log=frame.log),
        )
    )
    parts = api.Parts(models, packages, server, environments, OverlayPictures(), runs, settings.package_max_bytes)
    heard = subscriptions(runs=runs, journal=frame.log)
    return Runtime(
        routers=[api.router(parts)],
        background=[outbox.relay, watch, *(partial(bus.consume, one) for one in heard)],
        status_of=http_status,
        life=told(bus, partial(records.life, "catalogue"), settings),
    )
