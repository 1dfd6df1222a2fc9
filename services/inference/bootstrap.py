"""Where ports meet adapters."""

from __future__ import annotations

from functools import partial

from services.chassis.bus import connected
from services.chassis.faults import Fault
from services.chassis.life import told
from services.chassis.service import Frame, Runtime
from services.contracts import records, subjects
from services.contracts.events import JobReleased, ShadowRequested
from services.inference import handlers, shadow
from services.inference.adapters import triton
from services.inference.adapters.cards import PackageCards
from services.inference.adapters.npz import NpzResults
from services.inference.adapters.obstore import ObstoreWorkStore
from services.inference.adapters.pydicom import PydicomReader
from services.inference.adapters.remote import Servers, Site
from services.inference.handlers import Limits
from services.inference.quiet import Quiet
from services.inference.settings import Settings
from services.inference.stopping import Stopping
from services.inference.subscriptions import JOBS, shadows, subscriptions


async def build(settings: Settings, frame: Frame) -> Runtime:
    """The service, of real parts."""
    enter = frame.parts.enter_async_context
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
    work = ObstoreWorkStore.at(settings.work_url, settings.work_keys)
    stopping = Stopping(work.has)
    await bus.overhear(subjects.JOB_STOPPED, stopping.hear)
    cards, reader, results = PackageCards(settings.packages_folder), PydicomReader(), NpzResults()
    limits = Limits(settings.decode_threads, settings.volume_max_bytes)
    served = Servers(models, _site(settings))
    infer = partial(
        handlers.infer_job,
        cards=cards,
        work=work,
        reader=reader,
        models=served,
        results=results,
        events=bus,
        limits=limits,
    )
    compare = partial(
        shadow.compare_shadow,
        cards=cards,
        work=work,
        reader=reader,
        models=models,
        results=results,
        events=bus,
        limits=limits,
    )

    async def handle(event: JobReleased) -> None:
        if not await stopping.run(event, infer):
            frame.log.info("job.stopped", job_id=event.job_id, model=event.model)
            return
        frame.log.info("job.inferred", job_id=event.job_id, model=event.model, instances=event.instances)

    async def fail(event: JobReleased, fault: Fault) -> None:
        await handlers.fail_job(event, fault, events=bus)
        frame.log.warning("job.failed", job_id=event.job_id, code=fault.code)

    async def busy() -> bool:
        return await bus.unfinished(subjects.COMPUTE.name, JOBS) > 0

    quiet = Quiet(busy, frame.stopping)

    async def handle_shadow(event: ShadowRequested) -> None:
        compared = await quiet.run(partial(compare, event))
        frame.log.info("shadow.compared", job_id=event.job_id, model=event.model, code=compared.reason_code)

    async def fail_shadow(event: ShadowRequested, fault: Fault) -> None:
        await shadow.fail_shadow(event, fault, events=bus)

    heard = [
        *subscriptions(handle, fail, concurrency=settings.concurrency),
        shadows(handle_shadow, fail_shadow),
    ]
    return Runtime(
        background=[models.sweep, *(partial(bus.consume, one) for one in heard)],
        life=told(bus, partial(records.life, "inference"), settings),
    )


def _site(settings: Settings) -> Site:
    certificate, key = settings.remote_certificate_file, settings.remote_key_file
    both = (certificate, key) if certificate is not None and key is not None else None
    return Site(settings.remote_hosts, settings.remote_ca_file, both, settings.remote_tokens_folder)
