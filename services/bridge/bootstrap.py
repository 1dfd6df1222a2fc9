"""The bridge, put together: the only place where ports meet adapters."""

from __future__ import annotations

from functools import partial

from services.bridge.adapters.ingest import IngestArchive
from services.bridge.adapters.opentelemetry import Tally
from services.bridge.handlers import receive
from services.bridge.model import Admission
from services.bridge.scp import Listener
from services.bridge.settings import Settings
from services.chassis import rpc
from services.chassis.service import Frame, Runtime


async def build(settings: Settings, frame: Frame) -> Runtime:
    """The bridge as `settings` want it, listening."""
    channel = await frame.parts.enter_async_context(rpc.channel(settings.ingest_address))
    archive = IngestArchive(
        channel, reach_seconds=settings.ingest_reach_seconds, store_seconds=settings.store_timeout_seconds
    )
    tally = Tally()
    listener = Listener(
        receive=partial(receive, archive=archive, tally=tally, log=frame.log),
        admission=Admission(settings.ae_title, settings.any_called_ae_title, settings.calling_ae_titles),
        accept_unknown=settings.accept_unknown_sop_classes,
        max_associations=settings.max_associations,
        max_pdu_bytes=settings.max_pdu_bytes,
        network_seconds=settings.network_timeout_seconds,
        acse_seconds=settings.acse_timeout_seconds,
        store_seconds=settings.store_timeout_seconds,
        tally=tally,
        log=frame.log,
    )
    listener.start(settings.dimse_host, settings.dimse_port)
    frame.health.add("dimse", listener.answers)
    return Runtime(background=[partial(listener.serve, drain_seconds=settings.drain_seconds)])
