"""Where ports meet adapters."""

from __future__ import annotations

import asyncio
from functools import partial

from services.chassis.bus import connected
from services.chassis.faults import Fault
from services.chassis.life import told
from services.chassis.service import Frame, Runtime
from services.contracts import records, subjects
from services.contracts.events import JobReleased
from services.inference import handlers
from services.inference.adapters import triton
from services.inference.adapters.cards import read_cards
from services.inference.adapters.npz import NpzResults
from services.inference.adapters.obstore import ObstoreWorkStore
from services.inference.adapters.pydicom import PydicomSlices
from services.inference.handlers import Limits
from services.inference.settings import Settings
from services.inference.subscriptions import subscriptions


async def build(settings: Settings, frame: Frame) -> Runtime:
    """The service, of real parts."""
    enter = frame.parts.enter_async_context
    cards = await asyncio.to_thread(read_cards, settings.models_folder)
    frame.log.info("models.read", models=[f"{card.name} {card.version}" for card in cards.values()])
    # The streams are the hospital zone's to make: this service has not the right to.
    bus = await enter(
        connected(
            settings.nats_url.get_secret_value(),
            service="inference",
            log=frame.log,
            health=frame.health,
            ack_wait_seconds=settings.ack_wait_seconds,
            dead_subject=subjects.DEAD,
            identity=frame.identity,
        )
    )
    await bus.wait_for(subjects.STREAMS)
    models = await enter(
        triton.connected(
            settings.triton_address, shared_memory=settings.shared_memory, log=frame.log, health=frame.health
        )
    )
    infer = partial(
        handlers.infer_job,
        cards=cards,
        work=ObstoreWorkStore.at(settings.work_url, settings.work_keys),
        reader=PydicomSlices(),
        models=models,
        results=NpzResults(),
        events=bus,
        limits=Limits(settings.decode_threads, settings.volume_max_bytes),
    )

    async def handle(event: JobReleased) -> None:
        await infer(event)
        frame.log.info("job.inferred", job_id=event.job_id, model=event.model, instances=event.instances)

    async def fail(event: JobReleased, fault: Fault) -> None:
        await handlers.fail_job(event, fault, events=bus)
        frame.log.warning("job.failed", job_id=event.job_id, code=fault.code)

    heard = subscriptions(handle, fail, concurrency=settings.concurrency)
    return Runtime(
        background=[models.sweep, *(partial(bus.consume, one) for one in heard)],
        life=told(bus, partial(records.life, "inference"), settings),
    )
