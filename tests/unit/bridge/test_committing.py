"""Storage commitment on fakes: no promise that is not kept, no report that is lost (PS3.4 J)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from services.bridge import identifiers
from services.bridge.committing import (
    PUSH_MODEL,
    PUSH_MODEL_INSTANCE,
    Asked,
    InHand,
    Report,
    accept,
    pack,
    report,
    request,
    unpack,
)
from services.bridge.errors import AbandonedError, RefusedError, UnansweredError, UnreachableError
from services.bridge.exchanging import Held
from services.bridge.model import Peer
from services.chassis.faults import PassingFault
from services.chassis.log import Log
from services.chassis.principal import Principal
from services.contracts.events import CommitmentRequested

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
LOG = Log("bridge")


def asked(*uids: str, transaction: str = "1.2.3", **changed: Any) -> Asked:
    items = [{"00081150": {"vr": "UI", "Value": [CT]}, "00081155": {"vr": "UI", "Value": [uid]}} for uid in uids]
    information: dict[str, Any] = {"00081199": {"vr": "SQ", "Value": items}}
    if transaction:
        information["00081195"] = {"vr": "UI", "Value": [transaction]}
    values: dict[str, Any] = {
        "peer": Peer("CT1", "PLEXUS", "192.0.2.1"),
        "sop_class_uid": PUSH_MODEL,
        "sop_instance_uid": PUSH_MODEL_INSTANCE,
        "action": 1,
        "information": identifiers.write(information, EXPLICIT),
        "transfer_syntax_uid": EXPLICIT,
    }
    return Asked(**(values | changed))


class Place:
    """Everything that a commitment needs, in memory."""

    def __init__(self, *held: Held, same: int | Exception | None = 0, other: int | Exception | None = 0) -> None:
        self.held = held
        self.same, self.other = same, other
        self.said: list[CommitmentRequested] = []
        self.reports: list[tuple[str, Report]] = []
        self.fault: Exception | None = None
        self.principal: Principal | None = None
        self.in_hand = InHand()

    async def say(self, event: CommitmentRequested, *, message_id: str | None = None) -> None:
        """`Events`."""
        if self.fault:
            raise self.fault
        self.said.append(event)

    async def check(self, references: Sequence[tuple[str, str]], principal: Principal) -> list[Held]:
        """`Checker`."""
        if self.fault:
            raise self.fault
        self.principal = principal
        return list(self.held)

    def way(self, name: str, answer: int | Exception | None) -> Any:
        """`Callback` or `Reporting`."""
        place = self

        class Way:
            async def report(self, *arguments: Any) -> int | None:
                if isinstance(answer, Exception):
                    raise answer
                place.reports.append((name, arguments[-1]))
                return answer

        return Way()

    async def accept(self, action: Asked) -> int:
        """Take a request."""
        callback = self.way("same", self.same)
        return (await accept(action, callback, events=self, in_hand=self.in_hand, log=LOG)).status

    async def report(self, event: CommitmentRequested) -> None:
        """Report on it."""
        await report(event, checker=self, reporting=self.way("other", self.other), in_hand=self.in_hand, log=LOG)


async def test_a_request_is_durable_before_it_is_answered_and_reported_where_it_was_asked() -> None:
    place = Place(Held.HELD, Held.HELD)
    assert await place.accept(asked("1.1", "1.2")) == 0x0000
    (event,) = place.said
    assert (event.ae_title, event.transaction_uid) == ("CT1", "1.2.3")
    assert unpack(event.references) == [(CT, "1.1"), (CT, "1.2")]
    await place.report(event)
    assert place.reports == [("same", Report("1.2.3", ((CT, "1.1"), (CT, "1.2")), ()))]
    assert place.principal == Principal("CT1", proved_by="ae-title", source="192.0.2.1")


async def test_nothing_but_what_is_held_whole_and_under_its_class_is_committed() -> None:
    place = Place(Held.HELD, Held.ABSENT, Held.OTHER_CLASS, Held.DAMAGED)
    await place.accept(asked("1.1", "1.2", "1.3", "1.4"))
    await place.report(place.said[0])
    ((_, made),) = place.reports
    assert made.committed == ((CT, "1.1"),)
    assert made.failed == (((CT, "1.2"), 0x0112), ((CT, "1.3"), 0x0119), ((CT, "1.4"), 0x0110))
    assert made.event == 2


async def test_a_request_that_cannot_be_kept_is_not_taken() -> None:
    place = Place()
    place.fault = PassingFault("bus-unavailable", "NATS did not take a message")
    assert await place.accept(asked("1.1")) == 0x0213
    place.fault = None
    assert await place.accept(asked("1.1")) == 0x0000
    assert len(place.said) == 1


async def test_who_has_left_hears_on_another_association() -> None:
    place = Place(Held.HELD, same=AbandonedError())
    await place.accept(asked("1.1"))
    await place.report(place.said[0])
    assert [way for way, _ in place.reports] == ["other"]


async def test_a_report_of_another_process_goes_over_a_new_association() -> None:
    place = Place(Held.HELD)
    await place.report(request(asked("1.1")))
    assert [way for way, _ in place.reports] == ["other"]


@pytest.mark.parametrize("other", [UnreachableError("peer-unknown"), AbandonedError(), 0x0110, None])
async def test_a_report_that_nobody_took_is_tried_again(other: Any) -> None:
    place = Place(Held.HELD, same=AbandonedError(), other=other)
    await place.accept(asked("1.1"))
    with pytest.raises(PassingFault):
        await place.report(place.said[0])


async def test_an_archive_that_is_away_is_asked_again_and_nothing_is_reported() -> None:
    place = Place()
    place.fault = UnansweredError("peer-unavailable", "a service did not answer")
    with pytest.raises(PassingFault):
        await place.report(request(asked("1.1")))
    assert place.reports == []


async def test_the_same_request_again_is_one_request_and_another_under_its_uid_is_a_duplicate() -> None:
    place = Place(Held.HELD)
    for action in (asked("1.1"), asked("1.1"), asked("1.9")):
        assert await place.accept(action) == 0x0000
    first, second = place.said
    await place.report(second)
    await place.report(first)
    assert place.reports == [
        ("same", Report("1.2.3", (), (((CT, "1.9"), 0x0131),))),
        ("same", Report("1.2.3", ((CT, "1.1"),), ())),
    ]
    assert await place.accept(asked("1.9")) == 0x0000  # the transaction is over: its UID may come again
    assert not place.said[-1].duplicate


@pytest.mark.parametrize(
    ("action", "status"),
    [
        (asked("1.1", sop_class_uid=CT), 0x0118),
        (asked("1.1", sop_instance_uid="1.2"), 0x0112),
        (asked("1.1", action=2), 0x0123),
        (asked("1.1", transaction=""), 0x0115),
        (asked(), 0x0115),
        (asked("1.1", information=b"\x08\x00"), 0xC000),
    ],
)
def test_what_asks_for_nothing_is_refused(action: Asked, status: int) -> None:
    with pytest.raises(RefusedError) as refused:
        request(action)
    assert refused.value.status == status


def test_a_hundred_thousand_references_fit_into_a_message() -> None:
    references = [(CT, f"1.2.840.113619.2.55.3.2831868886.123.1590138412.{n}") for n in range(100_000)]
    packed = pack(references)
    assert len(packed) < 900_000
    assert unpack(packed) == references
