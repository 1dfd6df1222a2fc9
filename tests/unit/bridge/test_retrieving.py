"""C-FIND, C-MOVE and C-GET on fakes: what is answered when something goes wrong on the way."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest

from services.bridge import identifiers
from services.bridge.errors import UnansweredError, UnheldError, UnreachableError
from services.bridge.exchanging import Counts, Found, Held, Place, Recipient, Request, Response
from services.bridge.finding import find
from services.bridge.information import Inquiry, Retrieval
from services.bridge.model import Peer
from services.bridge.retrieving import get, move
from services.bridge.serving import allowed, serve
from services.chassis.log import Log
from services.chassis.principal import Principal
from services.dicom.dicom_json import dumps

T = TypeVar("T")
FIND, MOVE, GET = (f"1.2.840.10008.5.1.4.1.2.2.{number}" for number in (1, 2, 3))
EXPLICIT, RLE = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.5"
AWAY = UnansweredError("peer-unavailable", "a service did not answer")
WRONG = UnheldError("invalid-query", "the value of the query key StudyDate is not valid")
PLACES = [Place("1.2", "1.2.1", f"1.2.1.{number}", "1.1", RLE, 10) for number in (1, 2, 3)]


class FakeExchange:
    """Remembers what is answered; cancels after some answers."""

    def __init__(self, sop_class: str, *, cancel_after: int | None = None, level: str = "STUDY") -> None:
        question = {
            "00080052": {"vr": "CS", "Value": [level]},
            "0020000D": {"vr": "UI", "Value": ["1.2"]},
        }
        self.request = Request(
            Peer("STATION", "PLEXUS", "192.0.2.1"), sop_class, 1, identifiers.write(question, EXPLICIT), EXPLICIT,
            destination="ELSEWHERE",
        )  # fmt: skip
        self.answers: list[Response] = []
        self.own = FakeSink()
        self._cancel_after = cancel_after

    @property
    def cancelled(self) -> bool:
        """Whether enough was answered."""
        return self._cancel_after is not None and len(self.answers) >= self._cancel_after

    async def lend(self, what: Callable[[], T], /) -> T:
        """Nothing blocks here."""
        return what()

    def sink(self) -> FakeSink:
        """One that takes everything."""
        return self.own

    async def answer(self, *responses: Response) -> None:
        """Remember."""
        self.answers += responses


class FakeSink:
    """Takes instances, or answers as it is told."""

    def __init__(self, *statuses: int | None, accepts: tuple[str, ...] = (RLE,)) -> None:
        self.taken: list[tuple[str, str]] = []
        self._statuses = list(statuses)
        self._accepts = accepts

    def accepted(self, sop_class_uid: str) -> Sequence[str]:
        """What it was made with."""
        return self._accepts

    async def store(self, place: Place, transfer_syntax_uid: str, chunks: AsyncIterator[bytes]) -> int | None:
        """Read it to its end."""
        async for _ in chunks:
            pass
        self.taken.append((place.sop_instance_uid, transfer_syntax_uid))
        return self._statuses.pop(0) if self._statuses else 0


class FakeLibrary:
    """An archive of three instances, or one that fails."""

    def __init__(self, *found: Found, fault: Exception | None = None, unreadable: str = "") -> None:
        self._found = found
        self._fault = fault
        self._unreadable = unreadable
        self.recipients: list[Recipient | None] = []

    async def find(self, inquiry: Inquiry, principal: Principal) -> AsyncGenerator[Found]:
        """What it was made with."""
        assert principal == Principal("STATION", proved_by="ae-title", source="192.0.2.1")
        for each in self._found:
            yield each
        if self._fault:
            raise self._fault

    async def locate(self, retrieval: Retrieval, principal: Principal) -> list[Place]:
        """The three."""
        if self._fault:
            raise self._fault
        return PLACES

    async def read(
        self, place: Place, transfer_syntax_uid: str, principal: Principal, *, to: Recipient | None = None
    ) -> AsyncGenerator[bytes]:
        """A few bytes."""
        self.recipients.append(to)
        if place.sop_instance_uid == self._unreadable:
            raise UnheldError("not-decodable", "these pixels cannot be decoded here")
        yield b"data"

    async def check(self, references: Sequence[tuple[str, str]], principal: Principal) -> list[Held]:
        """Not asked here."""
        raise NotImplementedError


class FakeDestinations:
    """Knows one, which gives a sink or cannot be reached."""

    def __init__(self, sink: FakeSink | None) -> None:
        self._sink = sink
        self.proposed: Sequence[tuple[str, tuple[str, ...]]] = ()

    def of(self, ae_title: str) -> Recipient | None:
        """Only one."""
        return Recipient(ae_title, "192.0.2.9") if ae_title == "ELSEWHERE" else None

    @asynccontextmanager
    async def open(
        self, ae_title: str, proposals: Sequence[tuple[str, tuple[str, ...]]], exchange: Any
    ) -> AsyncIterator[FakeSink]:
        """The sink."""
        self.proposed = proposals
        if self._sink is None:
            raise UnreachableError("peer-unreachable")
        yield self._sink


class FakeTransfers:
    """Remembers what did not go."""

    def __init__(self) -> None:
        self.failures: list[tuple[str, dict[str, int], str]] = []

    async def failed(self, request: Request, to: Recipient, studies: Mapping[str, int], reason: str) -> None:
        """Remember."""
        self.failures.append((to.name, dict(studies), reason))


class FakeRequests:
    """Counts in a list."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def answered(self, operation: str, status: str, seconds: float) -> None:
        """Remember."""
        self.seen.append((operation, status))


def matches(*uids: str) -> tuple[bytes, ...]:
    return tuple(dumps({"0020000D": {"vr": "UI", "Value": [uid]}}) for uid in uids)


async def test_matches_are_pending_and_the_end_is_success() -> None:
    exchange = FakeExchange(FIND)
    library = FakeLibrary(Found(), Found(matches=matches("1.2", "1.3")))
    assert await find(exchange, library=library, ae_title="PLEXUS") == Response(0x0000)
    assert [answer.status for answer in exchange.answers] == [0xFF00, 0xFF00]
    read = [identifiers.read(answer.identifier or b"", EXPLICIT) for answer in exchange.answers]
    assert [each["0020000D"]["Value"] for each in read] == [["1.2"], ["1.3"]]


async def test_a_key_that_was_passed_over_makes_every_match_a_warning() -> None:
    exchange = FakeExchange(FIND)
    library = FakeLibrary(Found(("the key KVP is not supported",)), Found(matches=matches("1.2")))
    assert (await find(exchange, library=library, ae_title="PLEXUS")).status == 0x0000
    assert [answer.status for answer in exchange.answers] == [0xFF01]


@pytest.mark.parametrize(("fault", "status"), [(AWAY, 0xA700), (WRONG, 0xC000)])
async def test_an_archive_that_cannot_answer_is_a_failure_of_the_query(fault: Exception, status: int) -> None:
    response = await find(FakeExchange(FIND), library=FakeLibrary(fault=fault), ae_title="PLEXUS")
    assert response.status == status


async def test_a_query_that_finds_more_than_is_given_does_not_pretend_to_be_complete() -> None:
    exchange = FakeExchange(FIND)
    library = FakeLibrary(Found(more=True), Found(matches=matches("1.2")))
    assert (await find(exchange, library=library, ae_title="PLEXUS")).status == 0xA700
    assert len(exchange.answers) == 1


async def test_a_cancelled_query_ends_as_cancelled() -> None:
    library = FakeLibrary(Found(matches=matches("1.2")), Found(matches=matches("1.3")))
    exchange = FakeExchange(FIND, cancel_after=1)
    assert (await find(exchange, library=library, ae_title="PLEXUS")).status == 0xFE00


async def test_a_get_goes_over_its_own_association_and_counts() -> None:
    exchange = FakeExchange(GET)
    response = await get(exchange, library=FakeLibrary(), sink=exchange.sink())
    assert response == Response(0x0000, counts=Counts(0, completed=3))
    assert [answer.counts for answer in exchange.answers] == [Counts(2, completed=1), Counts(1, completed=2)]


async def test_what_fails_is_listed_and_the_rest_still_goes() -> None:
    sink = FakeSink(0x0000, 0xA700)
    response = await get(FakeExchange(GET), library=FakeLibrary(unreadable="1.2.1.1"), sink=sink)
    assert (response.status, response.counts) == (0xB000, Counts(0, completed=1, failed=2))
    failed = identifiers.read(response.identifier or b"", EXPLICIT)["00080058"]["Value"]
    assert failed == ["1.2.1.1", "1.2.1.3"]
    assert sink.taken == [("1.2.1.2", RLE), ("1.2.1.3", RLE)]


async def test_a_sink_that_takes_nothing_in_any_syntax_fails_all() -> None:
    response = await get(FakeExchange(GET), library=FakeLibrary(), sink=FakeSink(accepts=()))
    assert (response.status, response.counts) == (0xA702, Counts(0, failed=3))


async def test_a_cancelled_retrieval_says_what_remains() -> None:
    exchange = FakeExchange(GET, cancel_after=1)
    response = await get(exchange, library=FakeLibrary(), sink=exchange.sink())
    assert (response.status, response.counts) == (0xFE00, Counts(2, completed=1))


@pytest.mark.parametrize(("fault", "status"), [(AWAY, 0xA701), (WRONG, 0xC000)])
async def test_an_archive_that_cannot_answer_is_a_failure_of_the_retrieval(fault: Exception, status: int) -> None:
    destinations = FakeDestinations(FakeSink())
    response = await move(
        FakeExchange(MOVE), library=FakeLibrary(fault=fault), destinations=destinations, transfers=FakeTransfers()
    )
    assert response.status == status


async def test_a_move_to_nobody_fails_and_lists_all() -> None:
    response = await move(
        FakeExchange(MOVE), library=FakeLibrary(), destinations=FakeDestinations(None), transfers=FakeTransfers()
    )
    assert (response.status, response.counts) == (0xA702, Counts(0, failed=3))
    assert len(identifiers.read(response.identifier or b"", EXPLICIT)["00080058"]["Value"]) == 3


async def test_what_a_destination_does_not_take_is_told_with_its_studies() -> None:
    transfers = FakeTransfers()
    for sink in (FakeSink(0x0000, 0xA700), None, FakeSink()):
        await move(FakeExchange(MOVE), library=FakeLibrary(), destinations=FakeDestinations(sink), transfers=transfers)
    assert transfers.failures == [
        ("ELSEWHERE", {"1.2": 1}, "not-taken"),
        ("ELSEWHERE", {"1.2": 3}, "peer-unreachable"),
    ]


async def test_the_archive_hears_where_each_instance_goes() -> None:
    library = FakeLibrary()
    await move(
        FakeExchange(MOVE), library=library, destinations=FakeDestinations(FakeSink()), transfers=FakeTransfers()
    )
    assert library.recipients == [Recipient("ELSEWHERE", "192.0.2.9")] * 3
    await get(FakeExchange(GET), library=library, sink=FakeSink())
    assert library.recipients[3:] == [None] * 3  # it stays with the peer that asks


async def test_a_move_proposes_what_it_has_to_send() -> None:
    destinations = FakeDestinations(FakeSink())
    assert (
        await move(FakeExchange(MOVE), library=FakeLibrary(), destinations=destinations, transfers=FakeTransfers())
    ).status == 0x0000
    assert ("1.1", (RLE,)) in destinations.proposed


async def test_what_nobody_foresaw_is_a_failure_that_the_peer_hears() -> None:
    requests = FakeRequests()
    response = await serve(
        FakeExchange(FIND), library=FakeLibrary(fault=RuntimeError("Smith^John")),
        destinations=FakeDestinations(None), transfers=FakeTransfers(), ae_title="PLEXUS",
        requests=requests, log=Log("bridge"),
    )  # fmt: skip
    assert response == Response(0xC000, "internal")
    assert requests.seen == [("dimse C-FIND", "C000")]


def test_who_may_query_and_whether_anything_can_be_promised_is_the_operators_word() -> None:
    push_model = "1.2.840.10008.1.20.1"
    assert FIND in allowed("ANY", querying=frozenset(), commits=False)
    assert allowed("ANY", querying=frozenset({"STATION"}), commits=False) == frozenset()
    assert allowed("ANY", querying=frozenset({"STATION"}), commits=True) == {push_model}
    assert {MOVE, push_model} <= allowed("STATION", querying=frozenset({"STATION"}), commits=True)
