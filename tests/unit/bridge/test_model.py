"""What the sender is told, who may come in, and what is storage."""

from __future__ import annotations

import pytest
from pydicom.uid import AllTransferSyntaxes
from pynetdicom import AllStoragePresentationContexts

from services.bridge.model import (
    STORAGE_CLASSES,
    Admission,
    Answer,
    Outcome,
    Peer,
    Rejection,
    Reply,
    is_failure,
    is_storage,
    known_syntaxes,
)
from services.dicom.part10 import Reason

CT = "1.2.840.10008.5.1.4.1.1.2"
SIEMENS_CSA = "1.3.12.2.1107.5.9.1"
STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"


@pytest.mark.parametrize("outcome", [Outcome.STORED, Outcome.UNCHANGED])
def test_what_is_durable_is_a_success(outcome: Outcome) -> None:
    assert Answer.of(Reply(outcome)) == Answer(0x0000)


def test_a_uid_whose_first_bytes_are_kept_is_a_warning() -> None:
    answer = Answer.of(Reply(Outcome.KEPT_FIRST))
    assert answer.status == 0xB000
    assert answer.comment


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome not in ("stored", "unchanged")])
@pytest.mark.parametrize("failure_reason", [0, 1, 0x0107, 0xA700, 0xB000, 0xC000, 0xFF00, 0xFFFFFFFF])
def test_nothing_else_is_ever_a_success(outcome: Outcome, failure_reason: int) -> None:
    answer = Answer.of(Reply(outcome, failure_reason))
    assert answer.status == 0xB000 if outcome is Outcome.KEPT_FIRST else is_failure(answer.status)


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_of_the_store_is_passed_on_as_it_is(reason: Reason) -> None:
    answer = Answer.of(Reply(Outcome.REFUSED, reason.failure_reason, reason.value, reason.text))
    assert answer.status == reason.failure_reason
    assert answer.comment.startswith(reason.value)


def test_a_refusal_without_a_reason_is_one_that_cannot_be_understood() -> None:
    assert Answer.of(Reply(Outcome.REFUSED)).status == 0xC000


def test_a_store_that_is_away_is_out_of_resources() -> None:
    assert Answer.of(Reply(Outcome.UNAVAILABLE)).status == 0xA700


def test_a_comment_fits_its_element_and_holds_plain_text() -> None:
    comment = Answer.of(Reply(Outcome.REFUSED, 0xC000, "code", "a\\b\n" + "é" * 100 + "c" * 100)).comment
    assert len(comment) <= 64
    assert comment.isascii()
    assert "\\" not in comment
    assert comment.isprintable()


def test_a_peer_is_a_caller_known_by_its_ae_title_alone() -> None:
    principal = Peer("SCANNER", "PLEXUS", "192.0.2.7").principal()
    assert (principal.subject, principal.proved_by, principal.source) == ("SCANNER", "ae-title", "192.0.2.7")


@pytest.mark.parametrize(
    ("called", "calling", "any_called", "accepted", "expected"),
    [
        ("PLEXUS", "SCANNER", False, frozenset(), None),
        ("OTHER", "SCANNER", False, frozenset(), Rejection.CALLED_AE_TITLE),
        ("OTHER", "SCANNER", True, frozenset(), None),
        ("PLEXUS", "SCANNER", False, frozenset({"SCANNER"}), None),
        ("PLEXUS", "SCANNER", False, frozenset({"PACS"}), Rejection.CALLING_AE_TITLE),
        ("plexus", "SCANNER", False, frozenset(), Rejection.CALLED_AE_TITLE),
    ],
)
def test_ae_titles_decide_who_comes_in(
    called: str, calling: str, any_called: bool, accepted: frozenset[str], expected: Rejection | None
) -> None:
    assert Admission("PLEXUS", any_called, accepted).rejection(Peer(calling, called, "")) is expected


def test_every_storage_class_that_pynetdicom_knows_is_storage() -> None:
    assert {str(context.abstract_syntax) for context in AllStoragePresentationContexts} <= STORAGE_CLASSES


def test_retired_storage_classes_are_storage() -> None:
    assert is_storage("1.2.840.10008.5.1.4.1.1.6", accept_unknown=False)  # Ultrasound Image Storage (Retired)


@pytest.mark.parametrize(
    "uid",
    [
        STUDY_ROOT_FIND,
        "1.2.840.10008.1.20.1",  # Storage Commitment Push Model
        "1.2.840.10008.1.3.10",  # Media Storage Directory Storage
        "1.2.840.10008.5.1.4.38.1",  # Hanging Protocol Storage: has no study
    ],
)
@pytest.mark.parametrize("accept_unknown", [False, True])
def test_other_services_are_not_storage(uid: str, accept_unknown: bool) -> None:
    assert not is_storage(uid, accept_unknown=accept_unknown)


def test_unknown_classes_are_storage_only_where_the_site_says_so() -> None:
    assert not is_storage(SIEMENS_CSA, accept_unknown=False)
    assert is_storage(SIEMENS_CSA, accept_unknown=True)
    assert not is_storage("not a uid", accept_unknown=True)
    assert is_storage(CT, accept_unknown=False)


def test_syntaxes_keep_the_order_of_the_sender_and_lose_the_unknown() -> None:
    proposed = ["1.2.840.10008.1.2.4.80", "1.2.3.4", "1.2.840.10008.1.2"]
    assert known_syntaxes(proposed) == ["1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2"]


def test_every_transfer_syntax_for_stored_instances_is_known() -> None:
    streamed = {uid for uid in AllTransferSyntaxes if uid.startswith("1.2.840.10008.1.2.7.")}  # real-time video only
    assert set(known_syntaxes(AllTransferSyntaxes)) == set(AllTransferSyntaxes) - streamed


def test_a_certificate_is_a_better_proof_than_an_ae_title() -> None:
    claimed, shown = Peer("CT", "PLEXUS", "192.0.2.1"), Peer("CT", "PLEXUS", "192.0.2.1", certificate="0a1b")
    assert (claimed.principal().proved_by, shown.principal().proved_by) == ("ae-title", "certificate:0a1b")
