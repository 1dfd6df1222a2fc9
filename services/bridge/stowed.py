"""What a DICOMweb service answers to one instance (PS3.18 10.5.3), as a status of C-STORE: pure rules.

The Failure Reasons and Warning Reasons of PS3.18 Annex I are those statuses. One request holds one instance, so all
that an answer says is of it, even where it cannot name it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from services.bridge.errors import UnheldError, UnreachableError
from services.bridge.model import PROCESSING_FAILURE, SUCCESS
from services.dicom.dicom_json import loads
from services.dicom.native_xml import parse_native

_FAILED: Final = ("00081198", "0008119A")
"""Failed SOP Sequence, Other Failures Sequence."""
_REFERENCED: Final = "00081199"
_FAILURE_REASON: Final = "00081197"
_WARNING_REASON: Final = "00081196"

_JUDGED: Final = frozenset({200, 202, 409})
"""Those whose payload says what became of the instance (PS3.18 Table 10.5.3-1)."""

_LATER: Final = {  # by the status: a code, and what it means
    401: ("peer-wants-a-token", "the service wants a bearer token, or another one than it got"),
    408: ("peer-too-slow", "the service did not get the result in its time"),
    425: ("peer-busy", "the service does not take results now"),
    429: ("peer-busy", "the service does not take results now"),
    503: ("peer-busy", "the service does not take results now"),
    507: ("peer-has-no-room", "the service has no room"),
}
_NEVER: Final = {
    403: ("peer-forbids", "the service does not let us store"),
    404: ("peer-has-no-such-service", "there is no DICOMweb store at this URL"),
    405: ("peer-has-no-such-service", "there is no DICOMweb store at this URL"),
    410: ("peer-has-no-such-service", "there is no DICOMweb store at this URL"),
    413: ("peer-takes-no-such-size", "the service does not take a result of this size"),
    501: ("peer-has-no-such-service", "there is no DICOMweb store at this URL"),
    505: ("peer-refused-result", "the service refused a result"),
}
_LONGEST_WAIT_SECONDS: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP response."""

    status: int
    content_type: str = ""
    payload: bytes = b""


def judged(reply: Reply) -> int:
    """The status of the one instance that was sent.

    Raises:
        UnreachableError: it may be taken later.
        UnheldError: it will not, and the answer says no more of it.
    """
    if reply.status in _JUDGED:
        return _told(reply)
    if reply.status in _LATER:
        raise UnreachableError(*_LATER[reply.status])
    if reply.status in _NEVER:
        raise UnheldError(*_NEVER[reply.status])
    if reply.status >= 500:
        raise UnreachableError("peer-failed", "the service failed, or a proxy before it does not reach it")
    if 300 <= reply.status < 400:
        raise UnheldError("peer-redirects", "the service is at another URL: redirects are not followed")
    raise UnheldError("peer-refused-result", "the service refused a result")


def _told(reply: Reply) -> int:
    if reply.payload.strip():
        try:
            module = _read(reply)
        except (ValueError, RecursionError):
            if reply.status != 409:  # a log-in page is not a store
                raise UnheldError("peer-unclear", "what answers at this URL is no DICOMweb store") from None
            module = {}
    else:
        module = {}
    failed = [item for tag in _FAILED for item in _items(module, tag)]
    if failed or reply.status == 409:
        return next(filter(None, (_number(item, _FAILURE_REASON) for item in failed)), PROCESSING_FAILURE)
    warned = (_number(item, _WARNING_REASON) for item in _items(module, _REFERENCED))
    return next(filter(None, warned), SUCCESS)


def _read(reply: Reply) -> Mapping[str, Any]:
    if "xml" in reply.content_type.lower():
        return parse_native(reply.payload)
    read = loads(reply.payload)
    if isinstance(read, list) and len(read) == 1:  # some put it into an array, as the results of a search are
        read = read[0]
    if not isinstance(read, dict):
        raise ValueError("not a data set")
    return read


def _items(module: Mapping[str, Any], tag: str) -> list[Any]:
    element = module.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return values if isinstance(values, list) else []


def _number(item: Any, tag: str) -> int:
    values = _items(item, tag) if isinstance(item, dict) else []
    try:
        return int(values[0]) & 0xFFFF
    except (IndexError, ValueError, TypeError, OverflowError):
        return 0


def wait_seconds(header: str | None, now: datetime | None = None) -> float:
    """How long a Retry-After (RFC 9110 10.2.3) wants us to wait, an hour at the most; 0 where it says nothing."""
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), _LONGEST_WAIT_SECONDS)
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, IndexError, TypeError):
        return 0.0
    seconds = (until.replace(tzinfo=until.tzinfo or UTC) - (now or datetime.now(UTC))).total_seconds()
    return min(max(seconds, 0.0), _LONGEST_WAIT_SECONDS)
