"""Results sent on: what a job made goes to the peers that want its kind, each instance by C-STORE (PS3.4 B).

Never in a loop: only what `encode` says that a job has just made is sent, never what a peer has stored here. A peer
that routes a result back to us stores what we hold already, and nobody says so to this service.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from datetime import UTC, datetime
from typing import Final, Protocol

from services.bridge.errors import AbandonedError, UnheldError, UnreachableError
from services.bridge.exchanging import Place, Recipient, chosen, proposals
from services.bridge.information import Level, Retrieval
from services.bridge.model import COERCED, SUCCESS
from services.bridge.ports import Library, Records, Sink
from services.chassis.faults import Fault, PassingFault
from services.chassis.log import Log
from services.chassis.principal import Principal
from services.contracts.card import ResultKind
from services.contracts.events import Action, AuditRecorded, JobCompleted, Outcome, Result

Rules = Mapping[str, frozenset[str]]
"""The kinds of results that go to an AE title."""

_PRINCIPAL: Final = Principal.service("bridge")
_OUT_OF_RESOURCES: Final = 0xA700


class Outlet(Protocol):
    """Peers that we call to store at."""

    def of(self, ae_title: str) -> Recipient | None:
        """Where one listens, if we were told."""

    def open(
        self, ae_title: str, proposals: Sequence[tuple[str, tuple[str, ...]]]
    ) -> AbstractAsyncContextManager[Sink]:
        """An association with a peer, released with the block.

        Raises:
            UnreachableError: it does not take our association.
        """


def rules(text: str) -> Rules:
    """Read `PACS=SEG SR PDF, VNA=*`: AE titles, each with the kinds of results that it gets.

    Raises:
        ValueError: an entry is none; says which, by its number.
    """
    known = {kind.value for kind in ResultKind}
    found: dict[str, frozenset[str]] = {}
    for number, entry in enumerate(filter(None, (part.strip() for part in text.split(","))), start=1):
        ae_title, _, listed = (part.strip() for part in entry.partition("="))
        kinds = known if listed == "*" else {kind.upper() for kind in listed.split()}
        if not 0 < len(ae_title) <= 16 or not kinds or not kinds <= known:
            raise ValueError(f"entry {number} is not AE=KIND KIND: kinds are {', '.join(sorted(known))}, or * for all")
        found[ae_title] = frozenset(kinds)
    return found


class Sending:
    """Sends what jobs made to whom it is meant for.

    A job that is told again, because one peer was away, goes to that peer alone while this process lives; after that
    the others get the same instances a second time, which changes nothing there.
    """

    def __init__(self, to: Rules, *, library: Library, outlet: Outlet, events: Records, log: Log) -> None:
        self._rules = to
        self._library = library
        self._outlet = outlet
        self._events = events
        self._log = log
        self._sent: dict[tuple[str, str], None] = {}

    async def send(self, event: JobCompleted) -> None:
        """Send the results of a job to each peer that wants some.

        Raises:
            PassingFault: a peer or the archive is away; the others have got theirs.
            UnheldError: a peer does not take a result, now or later.
        """
        faults: list[Fault] = []
        for ae_title, kinds in self._rules.items():
            wanted = [result for result in event.results if result.kind in kinds]
            if not wanted or (event.job_id, ae_title) in self._sent:
                continue
            try:
                await self._to(ae_title, wanted)
            except Fault as fault:
                faults.append(fault)
                self._log.warning("results.not_sent", peer=ae_title, job_id=event.job_id, code=fault.code)
                if not isinstance(fault, PassingFault):
                    await self._record(event, ae_title, wanted, fault.code)
                continue
            self._sent[event.job_id, ae_title] = None
            while len(self._sent) > 10_000:
                del self._sent[next(iter(self._sent))]
            await self._record(event, ae_title, wanted)
            self._log.info("results.sent", peer=ae_title, job_id=event.job_id, instances=len(wanted))
        if faults:
            # What may pass comes first, so that the job is told again; what will not is in the log of accesses.
            raise min(faults, key=lambda one: not isinstance(one, PassingFault))

    async def _to(self, ae_title: str, wanted: Sequence[Result]) -> None:
        places: list[Place] = []
        for series in dict.fromkeys((one.study_instance_uid, one.series_instance_uid) for one in wanted):
            instances = tuple(
                one.sop_instance_uid for one in wanted if (one.study_instance_uid, one.series_instance_uid) == series
            )
            asked = Retrieval(Level.IMAGE, studies=series[:1], series=series[1:], instances=instances)
            places += await self._library.locate(asked, _PRINCIPAL)
        if len(places) < len(wanted):
            raise UnheldError("result-gone", "a result is no longer in the archive")
        to = self._outlet.of(ae_title)
        async with self._outlet.open(ae_title, proposals(places)) as sink:
            for place in places:
                await self._store(place, sink, to)

    async def _store(self, place: Place, sink: Sink, to: Recipient | None) -> None:
        accepted = sink.accepted(place.sop_class_uid)
        syntax = chosen(place, accepted)
        if syntax is None:
            raise UnheldError("peer-takes-no-such-class", "the peer does not take a result of this SOP class")
        try:
            async with aclosing(self._library.read(place, syntax, _PRINCIPAL, to=to)) as chunks:
                status = await sink.store(place, syntax, chunks)
        except AbandonedError:
            status = None
        if status == SUCCESS or (status is not None and status & 0xF000 == COERCED & 0xF000):
            return
        if status is None or status & 0xFF00 == _OUT_OF_RESOURCES:
            raise UnreachableError("peer-left" if status is None else "peer-has-no-room")
        raise UnheldError("peer-refused-result", "the peer refused a result")

    async def _record(self, event: JobCompleted, ae_title: str, sent: Sequence[Result], code: str = "") -> None:
        record_id = f"{event.job_id}.sent.{ae_title}" + (f".{code}" if code else "")
        record = AuditRecorded(
            record_id=record_id,
            at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            service="bridge",
            action=Action.TRANSFER_OUT,
            outcome=Outcome.FAILURE if code else Outcome.SUCCESS,
            reason_code=code,
            caller=_PRINCIPAL.subject,
            proved_by=_PRINCIPAL.proved_by,
            destination=ae_title,
            study_instance_uid=sent[0].study_instance_uid,
            job_id=event.job_id,
            instances=len(sent),
            detail="result",
        )
        await self._events.say(record, message_id=record_id)
