"""Where ports meet adapters."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

from services.chassis import rpc
from services.chassis.bus import connected
from services.chassis.faults import Fault
from services.chassis.life import told
from services.chassis.service import Frame, Runtime
from services.contracts import records, subjects
from services.contracts.events import JobInferred
from services.contracts.work import stopped_key
from services.encode import handlers
from services.encode.adapters.grpc import AnonymiseAirlock, ArchiveHeaders, IngestDoor
from services.encode.adapters.npz import unpack
from services.encode.adapters.obstore import WorkStore
from services.encode.adapters.opentelemetry import Tally
from services.encode.errors import KeyUnusable
from services.encode.model import Encoded, Names, Task
from services.encode.settings import Settings
from services.encode.subscriptions import subscriptions

_KEY_BYTES = 32


async def build(settings: Settings, frame: Frame) -> Runtime:
    """The service, of real parts."""
    enter = frame.parts.enter_async_context
    names = Names(read_key(settings.key_file))
    bus = await enter(
        connected(
            settings.nats_url.get_secret_value(),
            service="encode",
            log=frame.log,
            health=frame.health,
            ack_wait_seconds=settings.ack_wait_seconds,
            dead_subject=subjects.DEAD,
            identity=frame.identity,
        )
    )
    await bus.wait_for(subjects.STREAMS)
    anonymise = await enter(rpc.channel(settings.anonymise_address, frame.identity))
    archive = await enter(rpc.channel(settings.archive_address, frame.identity))
    ingest = await enter(rpc.channel(settings.ingest_address, frame.identity))
    tally = Tally()
    work = WorkStore.at(settings.work_url, settings.work_keys)
    encode = partial(
        handlers.encode_job,
        results=work,
        unpack=partial(unpack, max_bytes=settings.result_max_bytes),
        airlock=AnonymiseAirlock(anonymise),
        archive=ArchiveHeaders(
            archive, concurrency=settings.header_concurrency, picture_max_bytes=settings.picture_max_bytes
        ),
        encoder=LateEncoder(omit_empty_frames=settings.omit_empty_frames),
        front_door=IngestDoor(ingest),
        events=bus,
        names=names,
    )

    async def handle(event: JobInferred) -> None:
        if await work.has(stopped_key(event.job_id, event.attempt)):
            frame.log.info("job.stopped", job_id=event.job_id, model=event.model)
            return
        for one in await encode(event):
            tally.left_out(one)
            frame.log.warning(
                "result.left-out", job_id=event.job_id, model=event.model, kind=one.kind, code=one.reason_code
            )
        frame.log.info("job.completed", job_id=event.job_id, model=event.model)

    async def fail(event: JobInferred, fault: Fault) -> None:
        await handlers.fail_job(event, fault, events=bus)
        frame.log.warning("job.failed", job_id=event.job_id, code=fault.code)

    heard = subscriptions(handle, fail, concurrency=settings.concurrency)
    return Runtime(
        background=[_warm_up, *(partial(bus.consume, one) for one in heard)],
        life=told(bus, partial(records.life, "encode"), settings),
    )


def read_key(path: Path) -> bytes:
    """The key that UIDs are derived under.

    Raises:
        KeyUnusable: it is missing, of another length, or readable by others.
    """
    try:
        key, mode = path.read_bytes(), path.stat().st_mode
    except OSError:
        raise KeyUnusable("cannot be read") from None
    if len(key) != _KEY_BYTES:
        raise KeyUnusable(f"does not hold {_KEY_BYTES} bytes")
    if mode & 0o077:
        raise KeyUnusable("may be read by others: chmod 600")
    return key


class LateEncoder:
    """The encoder on highdicom, whose import takes seconds: it starts beside the service, not before it."""

    def __init__(self, *, omit_empty_frames: bool) -> None:
        self._omit_empty_frames = omit_empty_frames

    def encode(self, task: Task) -> Encoded:
        """The documents of a job; see `services.encode.ports.Encoder`."""
        from services.encode.adapters.highdicom import HighdicomEncoder

        return HighdicomEncoder(omit_empty_frames=self._omit_empty_frames).encode(task)


async def _warm_up(stopping: asyncio.Event) -> None:
    """Load highdicom while the mesh starts, so that the first job does not wait for it."""

    def load() -> None:
        from services.encode.adapters.highdicom import warm_up

        warm_up()

    await asyncio.to_thread(load)
    await stopping.wait()
