"""What a client accepts (RFC 9110 12.5.1, PS3.18 8.3.3, 8.7): reading the header, choosing among what there is."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from services.dicom.multipart import ContentType, MultipartError, parse_content_type

_ELEMENT: Final = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+')
_LONE_STAR: Final = re.compile(r"^\s*\*(?=\s*(;|$))")
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
        made: it has to be made first from what is there, which costs time, and perhaps quality.
    """

    media_type: str
    part_type: str = ""
    transfer_syntax: str = ""
    made: bool = False


@lru_cache(maxsize=512)
def parse_accept(header: str | None) -> tuple[MediaRange, ...]:
    """Reads an Accept header: alternatives by weight, equal ones in their order; those of weight 0 forbid.

    An element that cannot be read is skipped; a missing or empty header accepts everything. A lone `*`, as old Java
    clients send it, means `*/*`.
    """
    if header is None or not header.strip():
        return (MediaRange(ANY),)
    ranges = []
    for element in _ELEMENT.findall(header):
        try:
            parsed = parse_content_type(_LONE_STAR.sub(ANY, element))
        except MultipartError:
            continue
        ranges.append(_range(parsed))
    return tuple(sorted(ranges, key=lambda each: -each.q))


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
    """Says whether an offer is what the range asks for; one of weight 0 asks for nothing.

    A range without `transfer-syntax` takes what is stored: that loses nothing, and who cannot read it says so.
    """
    return wanted.q > 0 and matches(wanted, offer)


def matches(wanted: MediaRange, offer: Offer) -> bool:
    """Says whether a range speaks of an offer, whatever its weight."""
    if not _covers(wanted.media_type, offer.media_type):
        return False
    if wanted.part_type and not _covers(wanted.part_type, offer.part_type):
        return False
    return wanted.transfer_syntax in ("", "*", offer.transfer_syntax)


def choose(ranges: Sequence[MediaRange], offers: Sequence[Offer]) -> Offer | None:
    """Gives what the client likes best among the offers, or None when it takes none of them (406).

    The weight of an offer is that of the most specific range that speaks of it (RFC 9110 12.5.1). Of equal weights,
    what is there comes before what has to be made; then the one whose range comes first, then our own first.
    """
    best: tuple[tuple[float, bool, int], Offer] | None = None
    for offer in offers:
        at = speaking(ranges, offer)
        if at is None or ranges[at].q == 0:
            continue
        rank = (-ranges[at].q, offer.made, at)
        if best is None or rank < best[0]:
            best = (rank, offer)
    return best[1] if best else None


def speaking(ranges: Sequence[MediaRange], offer: Offer) -> int | None:
    """Gives the place of the most specific range that speaks of an offer; the first of several."""
    places = [at for at, wanted in enumerate(ranges) if matches(wanted, offer)]
    return min(places, key=lambda at: (*_vagueness(ranges[at]), at), default=None)


def _vagueness(wanted: MediaRange) -> tuple[int, int, int]:
    """Sorts the specific before the vague: by type, then the type of the parts, then the transfer syntax."""
    return _stars(wanted.media_type), _stars(wanted.part_type), {"": 2, "*": 1}.get(wanted.transfer_syntax, 0)


def _stars(media_type: str) -> int:
    if media_type in ("", ANY, "*"):
        return 2
    return 1 if media_type.endswith("/*") else 0


def _covers(wanted: str, offered: str) -> bool:
    if wanted in (ANY, "*", offered):
        return True
    kind, _, subtype = wanted.partition("/")
    return subtype == "*" and offered.startswith(f"{kind}/")
