"""Results sent on: to whom, how often, and what is told of it; to a real storage SCP and to ones that are away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pynetdicom import AE, evt
from pynetdicom.sop_class import EncapsulatedPDFStorage, SegmentationStorage  # type: ignore[attr-defined]

from services.bridge.adapters.line import Caller
from services.bridge.adapters.storing import AssociationOutlet
from services.bridge.errors import UnheldError, UnreachableError
from services.bridge.exchanging import Address, Place, Recipient
from services.bridge.information import Retrieval
from services.bridge.sending import Sending, rules
from services.chassis.log import Log
from services.chassis.principal import Principal
from services.contracts.events import AuditRecorded, JobCompleted, Result
from services.launcher.settings import free_port

EXPLICIT = "1.2.840.10008.1.2.1"
CLASSES = {"SEG": str(SegmentationStorage), "PDF": str(EncapsulatedPDFStorage)}
DATA = b"\x08\x00\x16\x00UI\x1c\x001.2.840.10008.5.1.4.1.1.66.4"


def completed(*kinds: str) -> JobCompleted:
    made = (Result(kind, "1.1", f"1.2.{no}", f"1.3.{no}", CLASSES[kind]) for no, kind in enumerate(kinds, 1))
    return JobCompleted("job-1", tuple(made))


class Shelf:
    """A library that has results."""

    def __init__(self, event: JobCompleted) -> None:
        self.results = {result.sop_instance_uid: result for result in event.results}
        self.read_for: list[Recipient | None] = []

    async def locate(self, retrieval: Retrieval, principal: Principal) -> list[Place]:
        found = [self.results[uid] for uid in retrieval.instances if uid in self.results]
        return [
            Place(one.study_instance_uid, one.series_instance_uid, one.sop_instance_uid, one.sop_class_uid, EXPLICIT, 9)
            for one in found
        ]

    def read(
        self, place: Place, transfer_syntax_uid: str, principal: Principal, *, to: Recipient | None = None
    ) -> AsyncGenerator[bytes]:
        self.read_for.append(to)
        return self._data()

    async def _data(self) -> AsyncGenerator[bytes]:
        yield DATA


class Peers:
    """Peers that take what they take."""

    def __init__(self, **statuses: int | None) -> None:
        self.statuses = statuses
        self.taken: list[tuple[str, str]] = []

    def of(self, ae_title: str) -> Recipient | None:
        return Recipient(ae_title, "192.0.2.7")

    @asynccontextmanager
    async def open(self, ae_title: str, proposals: Sequence[tuple[str, tuple[str, ...]]]) -> AsyncIterator[Any]:
        if self.statuses[ae_title] is None:
            raise UnreachableError("peer-away")
        peers = self

        class Sink:
            def accepted(self, sop_class_uid: str) -> Sequence[str]:
                return (EXPLICIT,)

            async def store(self, place: Place, syntax: str, chunks: AsyncIterator[bytes]) -> int | None:
                status = peers.statuses[ae_title]
                if status == 0:
                    peers.taken.append((ae_title, place.sop_instance_uid))
                return status

        yield Sink()


class Said:
    def __init__(self) -> None:
        self.records: list[AuditRecorded] = []

    async def say(self, event: Any, *, message_id: str | None = None) -> None:
        self.records.append(event)


def sending(event: JobCompleted, told: str, outlet: Any) -> tuple[Sending, Said]:
    said = Said()
    library: Any = Shelf(event)
    return Sending(rules(told), library=library, outlet=outlet, events=said, log=Log("bridge")), said  # type: ignore[arg-type]


@pytest.mark.parametrize("told", ["PACS", "PACS=", "=SEG", "PACS=SEGG", "A-VERY-LONG-AE-TITLE=SEG"])
def test_a_rule_that_is_none_is_refused(told: str) -> None:
    with pytest.raises(ValueError, match="entry 1"):
        rules(told)


def test_rules_name_kinds_or_all_of_them() -> None:
    found = rules("PACS=seg SR, VNA=*")
    assert found["PACS"] == {"SEG", "SR"}
    assert "PDF" in found["VNA"]
    assert rules("") == {}


async def test_each_peer_gets_the_kinds_that_it_wants_and_the_log_says_so() -> None:
    event, peers = completed("SEG", "PDF"), Peers(PACS=0, VNA=0, MWL=0)
    sender, said = sending(event, "PACS=SEG, VNA=*, MWL=KO", peers)
    await sender.send(event)
    assert peers.taken == [("PACS", "1.3.1"), ("VNA", "1.3.1"), ("VNA", "1.3.2")]
    read_for = sender._library.read_for  # type: ignore[attr-defined]  # the shelf's own
    assert [to.ae_title for to in read_for] == ["PACS", "VNA", "VNA"]  # the archive's record says to whom
    assert [(one.action, one.outcome, one.destination, one.instances) for one in said.records] == [
        ("transfer-out", "success", "PACS", 1),
        ("transfer-out", "success", "VNA", 2),
    ]


async def test_a_peer_that_is_away_gets_its_results_later_and_the_others_get_them_once() -> None:
    event, peers = completed("SEG"), Peers(PACS=None, VNA=0)
    sender, said = sending(event, "PACS=*, VNA=*", peers)
    with pytest.raises(UnreachableError):
        await sender.send(event)
    peers.statuses["PACS"] = 0
    await sender.send(event)
    await sender.send(event)
    assert peers.taken == [("VNA", "1.3.1"), ("PACS", "1.3.1")]
    assert [one.destination for one in said.records] == ["VNA", "PACS"]


async def test_a_peer_without_room_is_asked_again_and_one_that_refuses_is_not() -> None:
    event = completed("SEG")
    sender, said = sending(event, "PACS=*", Peers(PACS=0xA700))
    with pytest.raises(UnreachableError, match="peer"):
        await sender.send(event)
    assert said.records == []
    sender, said = sending(event, "PACS=*", Peers(PACS=0xC000))
    with pytest.raises(UnheldError, match="refused"):
        await sender.send(event)
    assert [(one.outcome, one.reason_code) for one in said.records] == [("failure", "peer-refused-result")]


async def test_a_result_that_was_deleted_is_not_waited_for() -> None:
    event = completed("SEG")
    sender, _ = sending(completed(), "PACS=*", Peers(PACS=0))
    with pytest.raises(UnheldError, match="no longer"):
        await sender.send(event)


class Book:
    def __init__(self, port: int) -> None:
        self.port = port

    def of(self, ae_title: str) -> Address | None:
        return Address("127.0.0.1", self.port) if ae_title == "PACS" else None


async def test_a_storage_scp_has_it_byte_by_byte_and_a_class_that_it_does_not_know_is_told() -> None:
    taken: list[tuple[str, bytes]] = []

    def handle(event: Any) -> int:
        taken.append((event.assoc.requestor.ae_title, event.request.DataSet.getvalue()))
        return 0

    pacs = AE("PACS")
    pacs.add_supported_context(SegmentationStorage)
    port = free_port()
    server = pacs.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, handle)])
    try:
        outlet = AssociationOutlet(Caller(max_pdu_bytes=65536, patience=20.0), Book(port), ae_title="PLEXUS")
        event = completed("SEG")
        sender, _ = sending(event, "PACS=*", outlet)
        await sender.send(event)
        assert taken == [("PLEXUS", DATA)]
        event = completed("SEG", "PDF")
        sender, said = sending(event, "PACS=*", outlet)
        with pytest.raises(UnheldError, match="SOP class"):
            await sender.send(event)
        assert [one.reason_code for one in said.records] == ["peer-takes-no-such-class"]
        sender, _ = sending(event, "ELSEWHERE=*", outlet)
        with pytest.raises(UnreachableError):
            await sender.send(event)
    finally:
        await asyncio.to_thread(server.shutdown)
