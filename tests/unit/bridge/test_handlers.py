"""One association, carried to its end."""

from __future__ import annotations

import pytest

from services.bridge.errors import UndeliveredError
from services.bridge.handlers import Reception
from services.bridge.model import Outcome, Peer, Reply
from services.chassis.log import Log
from tests.unit.bridge.fakes import FakeArchive, FakeTally, FakeTransfer

LOG = Log("bridge")


PEER = Peer("SCANNER", "PLEXUS", "192.0.2.7")


def carry(archive: FakeArchive, *transfers: FakeTransfer, ending: str = "released") -> tuple[list[int], FakeTally]:
    """Carry an association and give the status of each instance."""
    tally = FakeTally()
    with Reception(PEER, archive=archive, tally=tally, log=LOG) as reception:
        assert tally.open == 1
        statuses = [reception.store(transfer).status for transfer in transfers]
        reception.ending = ending
    assert tally.open == 0
    return statuses, tally


def test_an_association_is_one_delivery_in_the_name_of_its_peer() -> None:
    archive = FakeArchive()
    statuses, tally = carry(archive, FakeTransfer("1.1"), FakeTransfer("1.2"), FakeTransfer("1.3"))
    assert statuses == [0, 0, 0]
    assert archive.deliveries == [["1.1", "1.2", "1.3"]]
    assert archive.ended == 1
    assert archive.principals[0].subject == "SCANNER"
    assert tally.outcomes == [Outcome.STORED] * 3


def test_an_association_without_instances_needs_no_delivery() -> None:
    archive = FakeArchive()
    statuses, tally = carry(archive)
    assert (statuses, tally.outcomes, archive.deliveries) == ([], [], [])


def test_a_refused_instance_does_not_end_the_delivery() -> None:
    archive = FakeArchive(Reply(Outcome.REFUSED, 0xC000, "not-dicom"), Reply(Outcome.KEPT_FIRST))
    statuses, tally = carry(archive, FakeTransfer(), FakeTransfer(), FakeTransfer())
    assert statuses == [0xC000, 0xB000, 0]
    assert len(archive.deliveries) == 1
    assert tally.outcomes == [Outcome.REFUSED, Outcome.KEPT_FIRST, Outcome.STORED]


def test_when_the_stream_breaks_the_instance_in_hand_fails_and_the_next_one_opens_a_new_stream() -> None:
    archive = FakeArchive(Reply(Outcome.STORED), UndeliveredError("ingest-broke-off"))
    statuses, tally = carry(archive, FakeTransfer("1.1"), FakeTransfer("1.2"), FakeTransfer("1.3"))
    assert statuses == [0, 0xA700, 0]
    assert archive.deliveries == [["1.1", "1.2"], ["1.3"]]
    assert tally.outcomes == [Outcome.STORED, Outcome.UNAVAILABLE, Outcome.STORED]


def test_a_stream_that_ended_between_two_instances_costs_neither() -> None:
    archive = FakeArchive(breaks_after=1)
    statuses, _ = carry(archive, FakeTransfer("1.1"), FakeTransfer("1.2"))
    assert statuses == [0, 0]
    assert archive.deliveries == [["1.1"], ["1.2"]]


@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyError("PatientName"), ValueError()])
def test_whatever_is_thrown_is_never_a_success(error: Exception) -> None:
    statuses, _ = carry(FakeArchive(error), FakeTransfer(), FakeTransfer())
    assert statuses == [0x0110, 0]


def test_a_sender_that_goes_away_in_the_middle_ends_the_delivery() -> None:
    archive = FakeArchive()
    _, tally = carry(archive, FakeTransfer(), FakeTransfer(complete=False), ending="aborted")
    assert tally.outcomes == [Outcome.STORED, Outcome.ABANDONED]
    assert (archive.ended, archive.cancelled) == (1, 1)


def test_a_delivery_that_went_well_is_not_broken_off() -> None:
    archive = FakeArchive()
    carry(archive, FakeTransfer(), ending="aborted")
    assert (archive.ended, archive.cancelled) == (1, 0)
