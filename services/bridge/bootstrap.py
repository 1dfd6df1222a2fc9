"""The bridge, put together: the only place where ports meet adapters."""

from __future__ import annotations

from functools import partial

from services.bridge.adapters.addresses import AddressBook
from services.bridge.adapters.archive import ArchiveLibrary
from services.bridge.adapters.desk import Desk
from services.bridge.adapters.ingest import IngestArchive
from services.bridge.adapters.line import Caller
from services.bridge.adapters.opentelemetry import RequestTally, Tally
from services.bridge.adapters.reporting import AssociationReporting, DeskCallback
from services.bridge.adapters.storing import AssociationDestinations, AssociationOutlet
from services.bridge.adapters.stow import Keys, StowOutlet
from services.bridge.adapters.tls import server_context
from services.bridge.committing import Asked, InHand, report
from services.bridge.destinations import Destination, Entity, Root
from services.bridge.draining import Drain
from services.bridge.errors import UnreachableError
from services.bridge.exchanging import Response, addresses
from services.bridge.failing import Failures
from services.bridge.handlers import Reception
from services.bridge.model import Admission
from services.bridge.refusing import entered, refused
from services.bridge.scp import Listener
from services.bridge.sending import Dispatch, Sending
from services.bridge.serving import allowed, serve, take
from services.bridge.settings import Settings
from services.bridge.subscriptions import sending_subscriptions, subscriptions
from services.chassis import rpc
from services.chassis.bus import Bus, connected
from services.chassis.doors import Doors
from services.chassis.faults import PermanentFault
from services.chassis.life import told
from services.chassis.service import Background, Frame, Runtime
from services.contracts import records, subjects


async def build(settings: Settings, frame: Frame) -> Runtime:
    """The bridge as `settings` want it, listening."""
    enter = frame.parts.enter_async_context
    archive = IngestArchive(
        frame.parts.enter_context(rpc.blocking_channel(settings.ingest_address, frame.identity)),
        reach_seconds=settings.ingest_reach_seconds,
        store_seconds=settings.store_timeout_seconds,
    )
    library = ArchiveLibrary(
        await enter(rpc.channel(settings.archive_address, frame.identity)), seconds=settings.archive_timeout_seconds
    )
    caller = Caller(
        max_pdu_bytes=settings.max_pdu_bytes,
        patience=settings.network_timeout_seconds,
        acse_seconds=settings.acse_timeout_seconds,
    )
    book = AddressBook(addresses(settings.peers), settings.peers_file, log=frame.log)
    tally, requests, in_hand = Tally(), RequestTally(), InHand()
    bus = await _bus(settings, frame)
    doors = Doors(bus, partial(records.door, "bridge"), log=frame.log)

    async def commit(asked: Asked, desk: Desk) -> Response:
        callback = DeskCallback(desk, ae_title=settings.ae_title)
        return await take(asked, callback, events=bus, in_hand=in_hand, requests=requests, log=frame.log)

    listener = Listener(
        receive=partial(Reception, archive=archive, tally=tally, log=frame.log),
        serve=partial(
            serve,
            library=library,
            destinations=AssociationDestinations(caller, book),
            transfers=Failures(bus, log=frame.log),
            ae_title=settings.ae_title,
            requests=requests,
            log=frame.log,
        ),
        commit=commit,
        refused=partial(refused, doors=doors),
        entered=partial(entered, doors=doors),
        services=partial(allowed, querying=settings.querying_ae_titles, commits=bus is not None),
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
    if settings.dimse_plain:
        listener.start(settings.dimse_host, settings.dimse_port)
    if settings.dimse_tls_port is not None and settings.tls_certificate and settings.tls_key:
        tls = server_context(settings.tls_certificate, settings.tls_key, settings.tls_client_ca)
        listener.start(settings.dimse_host, settings.dimse_tls_port, tls)
    frame.health.add("dimse", listener.answers)
    background: list[Background] = [partial(listener.serve, drain_seconds=settings.drain_seconds), archive.watch]
    if bus is not None:
        reporting = AssociationReporting(caller, book, ae_title=settings.ae_title)
        reported = partial(report, checker=library, reporting=reporting, in_hand=in_hand, log=frame.log)
        heard = subscriptions(report=reported)
        if settings.rules:
            keys = keys_of(settings)
            outlets = {
                rule.destination.name: _outlet(rule.destination, keys, caller, book, settings)
                for rule in settings.rules
            }
            sending = Sending(outlets, library=library, events=bus, log=frame.log)
            drain = Drain(frame.stopping, seconds=settings.drain_seconds / 2)  # before the patience with us ends
            heard += sending_subscriptions(Dispatch(settings.rules, queues=bus), sending, drain)
        background += [partial(bus.consume, each) for each in heard]
    life = told(bus, partial(records.life, "bridge"), settings) if bus is not None else None
    return Runtime(background=background, life=life)


def keys_of(settings: Settings) -> Keys:
    """What opens DICOMweb services.

    Raises:
        PermanentFault: a rule needs it, and it is not usable.
    """
    certificate, key = settings.stow_certificate_file, settings.stow_key_file
    keys = Keys(settings.stow_ca_file, (certificate, key) if certificate and key else None, settings.stow_tokens_folder)
    if any(isinstance(rule.destination, Root) and rule.destination.secure for rule in settings.rules):
        try:
            keys.context()
        except UnreachableError as fault:  # while it is awaited that somebody looks
            raise PermanentFault(fault.code, fault.reason) from None
    return keys


def _outlet(
    destination: Destination, keys: Keys, caller: Caller, book: AddressBook, settings: Settings
) -> AssociationOutlet | StowOutlet:
    match destination:
        case Entity():
            return AssociationOutlet(destination, caller, book, ae_title=settings.ae_title)
        case Root():
            return StowOutlet(destination, keys, patience=settings.network_timeout_seconds)


async def _bus(settings: Settings, frame: Frame) -> Bus | None:
    if settings.nats_url is None:
        frame.log.warning("commitment.not_offered", reason="no bus to keep requests: PLEXUS_BRIDGE_NATS_URL")
        if settings.rules:
            frame.log.error("results.not_sent_on", reason="no bus that says what jobs made: PLEXUS_BRIDGE_NATS_URL")
        return None
    bus = await frame.parts.enter_async_context(
        connected(
            settings.nats_url.get_secret_value(),
            service="bridge",
            log=frame.log,
            health=frame.health,
            ack_wait_seconds=settings.ack_wait_seconds,
            dead_subject=subjects.DEAD,
            identity=frame.identity,
        )
    )
    await bus.wait_for(subjects.STREAMS)
    return bus
