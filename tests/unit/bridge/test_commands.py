"""Command sets as bytes, compared with pynetdicom's."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import UID
from pynetdicom.dimse_messages import C_STORE_RQ, DIMSEMessage
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu import P_DATA_TF

from services.bridge import commands
from services.bridge.commands import StoreRequest
from services.bridge.errors import MalformedError

CT = "1.2.840.10008.5.1.4.1.1.2"
UIDS = st.from_regex(r"[1-9][0-9]{0,8}(\.(0|[1-9][0-9]{0,8})){1,5}", fullmatch=True)


def encoded(request: C_STORE) -> bytes:
    """The command set of a request, as pynetdicom makes it."""
    message = C_STORE_RQ()
    message.primitive_to_message(request)
    first = next(iter(message.encode_msg(1, 0)))
    return bytes(first.presentation_data_value_list[0][1][1:])


@given(message_id=st.integers(0, 0xFFFF), sop_class=UIDS, sop_instance=UIDS, originator=st.booleans())
def test_a_request_is_read_as_it_was_made(message_id: int, sop_class: str, sop_instance: str, originator: bool) -> None:
    primitive = C_STORE()
    primitive.MessageID, primitive.Priority = message_id, 2
    primitive.AffectedSOPClassUID, primitive.AffectedSOPInstanceUID = UID(sop_class), UID(sop_instance)
    if originator:
        primitive.MoveOriginatorApplicationEntityTitle, primitive.MoveOriginatorMessageID = "MOVER", 7
    found = commands.elements(encoded(primitive))
    assert commands.field(found) == commands.C_STORE_RQ
    assert commands.store_request(found) == StoreRequest(message_id, sop_class, sop_instance, has_data_set=False)


@given(
    message_id=st.integers(0, 0xFFFF),
    uid=UIDS,
    status=st.sampled_from([0x0000, 0xA700, 0xA900, 0xB000, 0xC000]),
    comment=st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="\\"), max_size=64),
    longest=st.sampled_from([0, 32, 100, 4096, 16384]),
)
def test_a_response_is_what_pynetdicom_reads(
    message_id: int, uid: str, status: int, comment: str, longest: int
) -> None:
    request = StoreRequest(message_id, CT, uid, has_data_set=True)
    message, complete = DIMSEMessage(), False
    for each in commands.pdus(3, commands.store_response(request, status, comment), longest):
        assert not longest or len(each) - 6 <= longest
        pdu = P_DATA_TF()
        pdu.decode(each)
        assert not complete
        complete = message.decode_msg(pdu.to_primitive())
    assert complete
    response = message.message_to_primitive()
    assert isinstance(response, C_STORE)
    assert (response.MessageIDBeingRespondedTo, response.Status) == (message_id, status)
    assert (response.AffectedSOPClassUID, response.AffectedSOPInstanceUID) == (CT, uid)
    assert getattr(response, "ErrorComment") == (comment or None)  # noqa: B009  # its type says that it is None
    assert message.context_id == 3


@given(st.binary(max_size=200))
def test_whatever_comes_as_a_command_set_is_read_or_refused(data: bytes) -> None:
    with suppress(MalformedError):
        commands.store_request(commands.elements(data))


@pytest.mark.parametrize(
    "command",
    [
        struct.pack("<HHI", 8, 0x16, 0),  # another group
        struct.pack("<HHI", 0, 0x100, 3) + b"\1\0",  # cut short
        struct.pack("<HHIH", 0, 0x100, 2, 1)[:-1],
        b"\0\0\0",
    ],
)
def test_what_is_no_command_set_is_refused(command: bytes) -> None:
    with pytest.raises(MalformedError):
        commands.elements(command)


@pytest.mark.parametrize("missing", [0x0002, 0x0110, 0x0800, 0x1000])
def test_a_request_without_what_it_needs_is_refused(missing: int) -> None:
    primitive = C_STORE()
    primitive.MessageID, primitive.Priority = 1, 0
    primitive.AffectedSOPClassUID, primitive.AffectedSOPInstanceUID = UID(CT), UID("1.2.3")
    found = commands.elements(encoded(primitive))
    del found[missing]
    with pytest.raises(MalformedError):
        commands.store_request(found)
