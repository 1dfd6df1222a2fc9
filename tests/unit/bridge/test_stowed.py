"""What a DICOMweb service answers, and what that means for the one instance that was sent (PS3.18 10.5.3)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.bridge.errors import UnheldError, UnreachableError
from services.bridge.stowed import Reply, judged, wait_seconds
from services.dicom.stow import Failed, Stored, status_code, store_response, store_response_xml

UID, CLASS = "1.2.3", "1.2.840.10008.5.1.4.1.1.66.4"
TAKEN = Stored(CLASS, UID, "https://pacs.example/studies/1/series/2/instances/1.2.3")
COERCED = Stored(CLASS, UID, "https://pacs.example/studies/1/series/2/instances/1.2.3", 0xB000)
NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)


def told(*made: Stored | Failed, status: int = 0, as_list: bool = False) -> Reply:
    """An answer as services give it."""
    stored = [one for one in made if isinstance(one, Stored)]
    failed = [one for one in made if isinstance(one, Failed)]
    module: Any = store_response(None, stored, failed)
    payload = json.dumps([module] if as_list else module).encode()
    return Reply(status or status_code(stored, failed), "application/dicom+json", payload)


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (told(TAKEN), 0x0000),
        (told(TAKEN, as_list=True), 0x0000),
        (told(COERCED), 0xB000),
        (told(Failed(0xA700, CLASS, UID)), 0xA700),
        (told(Failed(0x0122, CLASS, UID)), 0x0122),
        (told(Failed(0xC000)), 0xC000),  # it could not even read what it was: Other Failures Sequence
        (told(Failed(0x0110, CLASS, UID), status=200), 0x0110),  # 200 for everything, and the failure inside
        (told(Failed(0x0110, CLASS, UID), status=202), 0x0110),
        (Reply(200), 0x0000),
        (Reply(202), 0x0000),
        (Reply(200, "application/dicom+json", b"{}"), 0x0000),
        (Reply(409), 0x0110),
        (Reply(409, "text/html", b"<html>Conflict</html>"), 0x0110),
        (Reply(409, "application/dicom+json", b'{"00081198":{"vr":"SQ","Value":[{}]}}'), 0x0110),
    ],
)
def test_the_payload_says_what_became_of_the_instance(reply: Reply, status: int) -> None:
    assert judged(reply) == status


def test_an_answer_in_xml_is_read_though_json_was_asked_for() -> None:
    payload = store_response_xml(None, [], [Failed(0xA700, CLASS, UID)])
    assert judged(Reply(409, "application/dicom+xml", payload)) == 0xA700


@pytest.mark.parametrize(
    ("content_type", "payload"),
    [
        ("text/html", b"<html>Please log in</html>"),
        ("application/dicom+xml", b'<!DOCTYPE x [<!ENTITY a "b">]><NativeDicomModel>&a;</NativeDicomModel>'),
        ("application/json", b'"stored"'),
        ("application/json", b"[" * 100_000),
    ],
)
def test_a_page_that_is_no_answer_of_a_store_is_no_success(content_type: str, payload: bytes) -> None:
    with pytest.raises(UnheldError) as refused:
        judged(Reply(200, content_type, payload))
    assert refused.value.code == "peer-unclear"


@pytest.mark.parametrize(
    "payload",
    [
        b'{"00081198": 1}',
        b'{"00081198": {"Value": {"00081197": 1}}}',
        b'{"00081199": {"Value": [1, null, {"00081196": {"Value": ["none"]}}]}}',
    ],
)
def test_an_answer_of_an_odd_form_is_taken_by_its_status(payload: bytes) -> None:
    assert judged(Reply(200, "application/dicom+json", payload)) == 0


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["Value", "vr", "00081198", "00081199", "0008119A", "00081197", "00081196"]), inner
        )
    ),
    max_leaves=12,
)


@given(st.integers(100, 599), st.sampled_from(["application/dicom+json", "application/dicom+xml", ""]), _VALUES)
def test_whatever_is_answered_is_a_status_or_a_fault(status: int, content_type: str, value: Any) -> None:
    for payload in (json.dumps(value).encode(), json.dumps(value).encode()[:-1]):
        try:
            assert 0 <= judged(Reply(status, content_type, payload)) <= 0xFFFF
        except (UnheldError, UnreachableError) as fault:
            assert fault.code.startswith("peer-")


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "peer-wants-a-token"), (429, "peer-busy"), (503, "peer-busy"), (507, "peer-has-no-room"),
     (500, "peer-failed"), (502, "peer-failed"), (504, "peer-failed"), (408, "peer-too-slow")],
)  # fmt: skip
def test_what_may_pass_is_tried_again(status: int, code: str) -> None:
    with pytest.raises(UnreachableError) as fault:
        judged(Reply(status, "text/plain", b"name of a patient"))
    assert fault.value.code == code
    assert "patient" not in str(fault.value)


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "peer-refused-result"), (403, "peer-forbids"), (404, "peer-has-no-such-service"), (301, "peer-redirects"),
     (307, "peer-redirects"), (413, "peer-takes-no-such-size"), (415, "peer-refused-result"),
     (501, "peer-has-no-such-service"), (204, "peer-refused-result")],
)  # fmt: skip
def test_what_cannot_pass_is_not(status: int, code: str) -> None:
    with pytest.raises(UnheldError) as fault:
        judged(Reply(status))
    assert fault.value.code == code


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120),
        ("86400", 3600),
        ("9" * 500, 3600),
        ("Sat, 21 Nov 2026 12:01:00 GMT", 60),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 0),
        ("Sun, 21 Nov 2027 12:00:00 GMT", 3600),
        ("soon", 0),
        ("-1", 0),
        ("", 0),
        (None, 0),
    ],
)
def test_a_retry_after_is_honoured_for_an_hour_at_the_most(header: str | None, seconds: float) -> None:
    assert wait_seconds(header, NOW) == seconds
