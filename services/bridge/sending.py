"""Results sent on: what a job made goes to the destinations that want its kind, by C-STORE or by STOW-RS.

A completed job becomes one message for each destination, in a queue of the destination's own: it is tried, given up and
sent again by itself, and one that is away or slow holds up no other. What a queue has acknowledged has arrived. A crash
between the arrival and the acknowledgement sends the same instances again, which changes nothing at the destination.

Never in a loop: only what `encode` says that a job has just made is sent, never what a peer has stored here. A peer
that routes a result back to us stores what we hold already, and nobody says so to this service; and no model runs by
itself on what a job of ours made, whoever brings it (`services.worklist.results`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, Protocol

from opentelemetry.trace import SpanKind

from services.bridge.destinations import Rule
from services.bridge.errors import UnheldError, UnreachableError
from services.bridge.exchanging import Place, is_warning
from services.bridge.information import Level, Retrieval
from services.bridge.model import NO_SUCH_SOP_CLASS, SUCCESS
from services.bridge.outlets import SENDER, Counter, Outlet, Parcel, Results
from services.bridge.ports import Records
from services.chassis import telemetry
from services.chassis.faults import Fault
from services.chassis.log import Log
from services.contracts import records
from services.contracts import telemetry as names
from services.contracts.events import Action, JobCompleted, Outcome, Result, ResultsDue
from services.contracts.subjects import RESULT_QUEUES

_OUT_OF_RESOURCES: Final = 0xA700
_DUPLICATE: Final = 0x0111
"""Duplicate SOP Instance (PS3.7 C.5.8). The UID is one that we made: what is there is the result itself, from a try
whose answer was lost."""
_REMEMBERED: Final = 10_000
_LEFT_ALONE_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Queued:
    """Results for a destination, as they are said in its queue."""

    subject: str
    due: ResultsDue

    @property
    def schema(self) -> str:
        """See `services.chassis.bus.Event`."""
        return self.due.schema

    def to_bytes(self) -> bytes:
        """See `services.chassis.bus.Event`."""
        return self.due.to_bytes()


class Queues(Protocol):
    """Where results wait for their destinations; `services.chassis.bus.Bus` is it."""

    async def say(self, event: Queued, *, message_id: str | None = None) -> None:
        """Say it durably. Raises PassingFault."""


class Dispatch:
    """Puts what a job made into the queues of the destinations that want some of it."""

    def __init__(self, rules: Sequence[Rule], *, queues: Queues) -> None:
        self._rules = rules
        self._queues = queues

    async def hear(self, event: JobCompleted) -> None:
        """A job has made results. Hearing it again changes nothing.

        Raises:
            PassingFault: the bus does not take a message.
        """
        for number, rule in enumerate(self._rules):
            wanted = tuple(result for result in event.results if result.kind in rule.kinds)
            if wanted:
                due = ResultsDue(event.job_id, rule.destination.name, wanted)
                queue = RESULT_QUEUES[number % len(RESULT_QUEUES)]
                # What a job makes anew, and another destination, is another message.
                message_id = f"{event.job_id}.due.{sha256(due.to_bytes()).hexdigest()[:16]}"
                await self._queues.say(Queued(queue, due), message_id=message_id)


@dataclass(slots=True)
class Progress:
    """How far the results of one message are: UIDs of those that were taken, and why others were refused."""

    taken: set[str] = field(default_factory=set)
    refused: dict[str, UnheldError] = field(default_factory=dict)

    def ended(self, uid: str) -> bool:
        """Whether a result needs no other try."""
        return uid in self.taken or uid in self.refused


class Sending:
    """Sends what is due to whom it is meant for.

    What was taken or refused before a destination went away is not sent again while this process lives. A destination
    that has just been found away is left alone for a moment: what else waits for it need not find out by itself, which
    may take minutes each time, and its tries end in days all the same.
    """

    def __init__(
        self,
        outlets: Mapping[str, Outlet],
        *,
        library: Results,
        events: Records,
        log: Log,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._outlets = outlets
        self._library = library
        self._events = events
        self._log = log
        self._clock = clock
        self._progress: dict[str, Progress] = {}
        self._away: dict[str, tuple[float, UnreachableError]] = {}

    async def send(self, due: ResultsDue, message_id: str) -> None:
        """Hand in each result, in the order in which the job made them.

        Args:
            due: which, and to whom.
            message_id: the same at every try.

        Raises:
            PassingFault: the destination or the archive is away; the same message is to come again.
            UnheldError: some were refused for good, or are gone; the others have arrived.
        """
        attributes: dict[str, str | int] = {names.JOB_ID: due.job_id, names.INSTANCES: len(due.results)}
        with telemetry.span(names.SPAN_SEND_RESULTS, attributes, kind=SpanKind.CLIENT):
            outlet = self._outlets.get(due.destination)
            if outlet is None:
                raise UnheldError("destination-not-in-rules", "no rule names this destination any more")
            until, fault = self._away.get(due.destination, (0.0, None))
            if fault is not None and self._clock() < until:
                raise UnreachableError(fault.code, fault.reason)
            progress = self._progress.setdefault(message_id, Progress())
            while len(self._progress) > _REMEMBERED:
                del self._progress[next(iter(self._progress))]
            try:
                await self._hand_in(due, outlet, progress)
            except UnreachableError as away:
                self._away[due.destination] = (self._clock() + _LEFT_ALONE_SECONDS, away)
                self._tell("results.not_sent", due, away)
                raise
            if progress.taken:
                taken = len(progress.taken)
                await self._record(due, message_id, taken)
                self._log.info("results.sent", peer=due.destination, job_id=due.job_id, instances=taken)
            if progress.refused:
                raise next(iter(progress.refused.values()))
            self._progress.pop(message_id, None)

    async def give_up(self, due: ResultsDue, message_id: str, fault: Fault) -> None:
        """Say in the log of accesses what did not arrive, and why: nobody tries again by himself.

        Raises:
            PassingFault: it could not be said.
        """
        left = len(due.results) - len(self._progress.get(message_id, Progress()).taken)
        await self._record(due, message_id, left, fault.code)
        self._progress.pop(message_id, None)
        self._log.error(
            "results.given_up",
            peer=due.destination,
            job_id=due.job_id,
            instances=left,
            code=fault.code,
            reason=fault.reason,
        )

    async def _hand_in(self, due: ResultsDue, outlet: Outlet, progress: Progress) -> None:
        """Hand in what needs it; what becomes of each is noted."""
        left = [result for result in due.results if not progress.ended(result.sop_instance_uid)]
        places = await self._places(left)
        for uid in {result.sop_instance_uid for result in left} - {place.sop_instance_uid for place in places}:
            progress.refused[uid] = UnheldError("result-gone", "a result is no longer in the archive")
        if not places:
            return
        kinds = {result.sop_instance_uid: result.kind for result in left}
        to = outlet.recipient()
        async with outlet.open(places) as counter:
            for place in places:
                try:
                    await _hand_over(Parcel(place, self._library, to), counter)
                    progress.taken.add(place.sop_instance_uid)
                except UnheldError as refusal:
                    progress.refused[place.sop_instance_uid] = refusal
                    self._tell("results.refused", due, refusal, kind=kinds[place.sop_instance_uid])

    def _tell(self, event: str, due: ResultsDue, fault: Fault, **more: str) -> None:
        told = {"peer": due.destination, "job_id": due.job_id, "code": fault.code, "reason": fault.reason}
        self._log.warning(event, **told, **more)

    async def _places(self, results: Sequence[Result]) -> list[Place]:
        found: dict[str, Place] = {}
        for study, series in dict.fromkeys((one.study_instance_uid, one.series_instance_uid) for one in results):
            instances = tuple(one.sop_instance_uid for one in results if one.series_instance_uid == series)
            asked = Retrieval(Level.IMAGE, studies=(study,), series=(series,), instances=instances)
            found |= {place.sop_instance_uid: place for place in await self._library.locate(asked, SENDER)}
        return [found[one.sop_instance_uid] for one in results if one.sop_instance_uid in found]

    async def _record(self, due: ResultsDue, message_id: str, instances: int, code: str = "") -> None:
        # The same for what is said twice. No AE title or URL stands in it: an id of a record has no room for them.
        record_id = sha256(f"{message_id}.{code or 'sent'}".encode()).hexdigest()[:32]
        to = outlet.recipient() if (outlet := self._outlets.get(due.destination)) else None
        record = records.of(
            "bridge",
            Action.TRANSFER_OUT,
            Outcome.FAILURE if code else Outcome.SUCCESS,
            SENDER,
            record_id=record_id,
            reason_code=code,
            destination=due.destination,
            destination_address=to.host if to else "",
            study_instance_uid=due.results[0].study_instance_uid if due.results else "",
            job_id=due.job_id,
            instances=instances,
            trace_id=telemetry.trace_id(),
            detail="result",
        )
        await self._events.say(record, message_id=record_id)


async def _hand_over(parcel: Parcel, counter: Counter) -> None:
    """One result, to its end.

    Raises:
        UnreachableError: it may be taken later.
        UnheldError: it will not.
    """
    status = await counter.hand_in(parcel)
    if status is None:
        raise UnreachableError("peer-left")
    if status in (SUCCESS, _DUPLICATE) or is_warning(status):
        return
    if status & 0xFF00 == _OUT_OF_RESOURCES:
        raise UnreachableError("peer-has-no-room", "the peer has no room")
    if status == NO_SUCH_SOP_CLASS:
        raise UnheldError("peer-takes-no-such-class", "the peer does not take a result of this SOP class")
    raise UnheldError("peer-refused-result", f"the peer refused a result with status {status:04X}")
