"""What we change in pynetdicom's upper layer."""

from __future__ import annotations

import socket
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import pytest
from pynetdicom.dimse_messages import C_FIND_RQ, C_STORE_RQ
from pynetdicom.pdu_primitives import SOPClassCommonExtendedNegotiation
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.service_class import StorageServiceClass
from pynetdicom.sop_class import uid_to_service_class

from services.bridge.adapters import pynetdicom as upper_layer

CT = "1.2.840.10008.5.1.4.1.1.2"
OVERLAY = "1.2.840.10008.5.1.4.1.1.8"  # Standalone Overlay Storage (Retired): pynetdicom has no service for it
FIND = "1.2.840.10008.5.1.4.1.2.2.1"
JPEG_LS, IMPLICIT = "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2"


def association(*proposed: PresentationContext) -> Any:
    return SimpleNamespace(
        requestor=SimpleNamespace(requested_contexts=list(proposed)), acceptor=SimpleNamespace(supported_contexts=[])
    )


def test_of_a_proposal_only_storage_and_verification_is_accepted() -> None:
    assoc = association(
        build_context(CT, [JPEG_LS]),
        build_context(FIND),
        build_context(upper_layer.VERIFICATION_SOP_CLASS),
        build_context("1.2.3.4", [IMPLICIT]),
    )
    upper_layer.offer(assoc, accept_unknown=False)
    assert [c.abstract_syntax for c in assoc.acceptor.supported_contexts] == [CT, upper_layer.VERIFICATION_SOP_CLASS]


def test_a_class_that_is_proposed_in_several_contexts_is_accepted_in_the_syntaxes_of_all() -> None:
    assoc = association(build_context(CT, [JPEG_LS]), build_context(CT, [IMPLICIT, "1.2.3.4"]))
    upper_layer.offer(assoc, accept_unknown=False)
    assert [c.transfer_syntax for c in assoc.acceptor.supported_contexts] == [[JPEG_LS, IMPLICIT]]


def test_a_class_in_unknown_syntaxes_alone_is_not_accepted() -> None:
    assoc = association(build_context(CT, ["1.2.3.4"]))
    upper_layer.offer(assoc, accept_unknown=False)
    assert assoc.acceptor.supported_contexts == []


def test_whatever_is_accepted_goes_to_the_storage_service() -> None:
    assoc = association(build_context(OVERLAY), build_context("1.2.3.4"))
    upper_layer.offer(assoc, accept_unknown=True)
    found = upper_layer.service_classes(assoc)
    assert list(found) == [OVERLAY, "1.2.3.4"]
    for item in found.values():
        assert isinstance(item, SOPClassCommonExtendedNegotiation)
        assert uid_to_service_class(str(item.service_class_uid)) is StorageServiceClass


def test_a_pdu_is_read_whole_however_it_comes() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"123")
        theirs.sendall(b"456")
        assert upper_layer._receive(ours, 100, 6) == b"123456"
        theirs.sendall(b"12")
        theirs.close()
        assert upper_layer._receive(ours, 100, 6) == b"12"


def test_a_pdu_longer_than_any_in_good_faith_is_not_read() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(OSError, match="too long"):
        upper_layer._receive(ours, 100, 101)


def test_the_data_set_of_another_message_is_dropped() -> None:
    def begin(_: Any) -> None:
        raise AssertionError("only a C-STORE begins a transfer")

    data_set = upper_layer._DataSet(C_FIND_RQ(), begin)
    assert data_set.write(b"12345678") == 8
    assert data_set.getvalue() == b""
    data_set.finish()


def test_the_data_set_of_a_c_store_goes_on_as_it_comes() -> None:
    class Into:
        def __init__(self) -> None:
            self.parts: list[bytes] = []

        write = property(lambda self: self.parts.append)
        finish = property(lambda self: lambda: self.parts.append(b"."))

    into: Any = Into()
    data_set = upper_layer._DataSet(C_STORE_RQ(), lambda _: into)
    assert isinstance(data_set, BytesIO)
    for part in (b"12", b"34"):
        data_set.write(part)
    data_set.finish()
    assert into.parts == [b"12", b"34", b"."]
    assert upper_layer.transfer_of(SimpleNamespace(DataSet=data_set)) is into
    assert upper_layer.transfer_of(SimpleNamespace(DataSet=BytesIO())) is None
