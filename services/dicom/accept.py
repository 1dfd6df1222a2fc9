"""What a client accepts (RFC 9110 12.5.1, PS3.18 8.3.3, 8.7): reading the header, choosing among what there is."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from services.dicom.multipart import ContentType, MultipartError, parse_content_type

_ELEMENT: Final = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+')
ANY: Final = "*/*"
MULTIPART: Final = "multipart/related"


@dataclass(frozen=True, slots=True)
class MediaRange:
    """One alternative of an Accept header.

    Attributes:
        media_type: `type/subtype`, each perhaps `*`, in lower case.
        part_type: of multipart/related, its `type` parameter in lower case; "" when it says none.
        transfer_syntax: its `transfer-syntax` parameter; "" when it says none, "*" for any.
        q: its weight, 0 to 1.
    """

    media_type: str
    part_type: str = ""
    transfer_syntax: str = ""
    q: float = 1.0


@dataclass(frozen=True, slots=True)
class Offer:
    """One representation that we can give.

    Attributes:
        media_type: of the whole answer.
        part_type: of each part, for multipart/related.
        transfer_syntax: of the content, where it has one.
    """

    media_type: str
    part_type: str = ""
    transfer_syntax: str = ""


def parse_accept(header: str | None) -> tuple[MediaRange, ...]:
    """Reads an Accept header: alternatives by weight, equal ones in their order, those of weight 0 left out.

    An element that cannot be read is skipped; a missing or empty header accepts everything.
    """
    if header is None or not header.strip():
        return (MediaRange(ANY),)
    ranges = []
    for element in _ELEMENT.findall(header):
        try:
            parsed = parse_content_type(element)
        except MultipartError:
            continue
        ranges.append(_range(parsed))
    return tuple(sorted((each for each in ranges if each.q > 0), key=lambda each: -each.q))


def _range(parsed: ContentType) -> MediaRange:
    parameters = parsed.parameters
    return MediaRange(
        media_type=parsed.media_type,
        part_type=parameters.get("type", "").lower() if parsed.media_type == MULTIPART else "",
        transfer_syntax=parameters.get("transfer-syntax", ""),
        q=_weight(parameters.get("q", "1")),
    )


def _weight(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 1.0
    return 1.0 if math.isnan(value) else min(max(value, 0.0), 1.0)


def accepts(wanted: MediaRange, offer: Offer) -> bool:
    """Says whether an offer is what the range asks for.

    A range without `transfer-syntax` takes what is stored: that loses nothing, and who cannot read it says so.
    """
    if not _covers(wanted.media_type, offer.media_type):
        return False
    if wanted.part_type and not _covers(wanted.part_type, offer.part_type):
        return False
    return wanted.transfer_syntax in ("", "*", offer.transfer_syntax)


def choose(ranges: Iterable[MediaRange], offers: Sequence[Offer]) -> Offer | None:
    """Gives the first offer that the client's best range takes, or None when no range takes any (406)."""
    return next((offer for wanted in ranges for offer in offers if accepts(wanted, offer)), None)


def _covers(wanted: str, offered: str) -> bool:
    if wanted in (ANY, "*", offered):
        return True
    kind, _, subtype = wanted.partition("/")
    return subtype == "*" and offered.startswith(f"{kind}/")
