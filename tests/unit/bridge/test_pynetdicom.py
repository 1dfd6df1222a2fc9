"""What an association is offered."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from pynetdicom.presentation import PresentationContext, build_context

from services.bridge.adapters import pynetdicom as negotiation

CT = "1.2.840.10008.5.1.4.1.1.2"
FIND = "1.2.840.10008.5.1.4.1.2.2.1"
JPEG_LS, IMPLICIT = "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2"


def association(*proposed: PresentationContext) -> Any:
    return SimpleNamespace(
        requestor=SimpleNamespace(requested_contexts=list(proposed), role_selection={}),
        acceptor=SimpleNamespace(supported_contexts=[]),
    )


def test_of_a_proposal_only_storage_and_verification_is_accepted() -> None:
    assoc = association(
        build_context(CT, [JPEG_LS]),
        build_context(FIND),
        build_context(negotiation.VERIFICATION_SOP_CLASS),
        build_context("1.2.3.4", [IMPLICIT]),
    )
    negotiation.offer(assoc, accept_unknown=False)
    assert [c.abstract_syntax for c in assoc.acceptor.supported_contexts] == [CT, negotiation.VERIFICATION_SOP_CLASS]


def test_a_class_that_is_proposed_in_several_contexts_is_accepted_in_the_syntaxes_of_all() -> None:
    assoc = association(build_context(CT, [JPEG_LS]), build_context(CT, [IMPLICIT, "1.2.3.4"]))
    negotiation.offer(assoc, accept_unknown=False)
    assert [c.transfer_syntax for c in assoc.acceptor.supported_contexts] == [[JPEG_LS, IMPLICIT]]


def test_a_class_in_unknown_syntaxes_alone_is_not_accepted() -> None:
    assoc = association(build_context(CT, ["1.2.3.4"]))
    negotiation.offer(assoc, accept_unknown=False)
    assert assoc.acceptor.supported_contexts == []
