"""What form an answer takes (PS3.18 8.7): the client's ranges against what is stored and what can be made of it.

As stored is always possible, and comes first where the client does not care. Other transfer syntaxes are made on
request; a lossy one only where the client names it or its media type. What cannot be had is refused with a list of what
would do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from services.archive.errors import NotAcceptable
from services.dicom.accept import MULTIPART, MediaRange, Offer, choose, speaking
from services.dicom.transfer_syntaxes import EXPLICIT_LITTLE_ENDIAN, lookup

DICOM: Final = "application/dicom"
BYTES: Final = "application/octet-stream"
DICOM_JSON: Final = "application/dicom+json"
DICOM_XML: Final = "application/dicom+xml"
_METADATA: Final = (Offer(DICOM_JSON), Offer("application/json"), Offer(MULTIPART, DICOM_XML))


@dataclass(frozen=True, slots=True)
class Form:
    """The form of an answer.

    Attributes:
        multipart: parts in a multipart/related body; otherwise the body is the one content.
        media_type: of each content.
        transfer_syntax: of each content; "" where each instance keeps its own.
        made: content in another transfer syntax has to be brought into this one first.
    """

    multipart: bool
    media_type: str
    transfer_syntax: str = ""
    made: bool = False

    @property
    def content_type(self) -> str:
        """The Content-Type of each content."""
        return typed(self.media_type, self.transfer_syntax)

    @property
    def offer(self) -> Offer:
        """The same as a client's ranges are compared with it."""
        if self.multipart:
            return Offer(MULTIPART, self.media_type, self.transfer_syntax, self.made)
        return Offer(self.media_type, "", self.transfer_syntax, self.made)


def typed(media_type: str, transfer_syntax: str) -> str:
    """A media type with its transfer syntax, if it has one."""
    return f"{media_type}; transfer-syntax={transfer_syntax}" if transfer_syntax else media_type


def metadata_form(ranges: Sequence[MediaRange], *, single: bool) -> Form:
    """Gives the form of metadata: JSON, or Native DICOM Model in parts.

    Args:
        single: there is one instance, whose XML may be a body of its own.

    Raises:
        NotAcceptable: the client accepts neither.
    """
    offers = (*_METADATA, Offer(DICOM_XML)) if single else _METADATA
    chosen = choose(ranges, offers)
    if chosen is None:
        raise NotAcceptable(_described(offer) for offer in offers)
    return Form(bool(chosen.part_type), chosen.part_type or chosen.media_type)


@lru_cache(maxsize=1024)
def instances_form(
    ranges: tuple[MediaRange, ...], stored: frozenset[str], makeable: tuple[str, ...], *, single: bool
) -> Form:
    """Gives the form of PS3.10 files.

    Args:
        ranges: what the client accepts.
        stored: transfer syntaxes of the instances.
        makeable: into which every one of them can be brought, beside its own.
        single: there is one instance, which may be a body of its own.

    Raises:
        NotAcceptable: in none of the ways that the client accepts.
    """
    common = next(iter(stored)) if len(stored) == 1 else ""
    offered = {}
    for multipart in (True, False) if single else (True,):
        as_stored = Form(multipart, DICOM)
        offered[replace(as_stored.offer, transfer_syntax=common)] = as_stored
        made = (Form(multipart, DICOM, syntax, made=True) for syntax in makeable if syntax != common)
        offered |= {form.offer: form for form in made if _allowed(ranges, form)}
    chosen = choose(ranges, list(offered))
    if chosen is None:
        raise NotAcceptable([f'{MULTIPART}; type="{DICOM}"; transfer-syntax={syntax}' for syntax in ("*", *makeable)])
    return offered[chosen]


@lru_cache(maxsize=1024)
def frames_form(ranges: tuple[MediaRange, ...], stored: str, makeable: tuple[str, ...], *, single: bool) -> Form:
    """Gives the form of frames.

    Args:
        ranges: what the client accepts.
        stored: transfer syntax of the instance. Native frames are always given as Explicit VR Little Endian.
        makeable: transfer syntaxes into which its frames can be brought.
        single: there is one frame, which may be a body of its own.

    Raises:
        NotAcceptable: in none of the ways that the client accepts.
    """
    as_stored = stored if _is_encapsulated(stored) else EXPLICIT_LITTLE_ENDIAN
    forms = _forms(as_stored, made=False)
    for syntax in makeable:
        if syntax != as_stored and _is_frame_syntax(syntax):
            forms += _forms(syntax, made=True)
    possible = forms + [replace(form, multipart=False) for form in forms] if single else forms
    offered = {form.offer: form for form in possible if _allowed(ranges, form)}
    chosen = choose(ranges, list(offered))
    if chosen is None:
        raise NotAcceptable([_described(form.offer) for form in possible])
    return offered[chosen]


@lru_cache(maxsize=1024)
def stored_frames_form(ranges: tuple[MediaRange, ...], stored: str, *, single: bool) -> Form | None:
    """Gives the form of frames as stored; None where one that has to be made may be liked better, or it does not do."""
    try:
        form = frames_form(ranges, stored, (), single=single)
    except NotAcceptable:
        return None
    return form if _unsurpassed(ranges, form.offer) else None


@lru_cache(maxsize=1024)
def stored_instances_form(ranges: tuple[MediaRange, ...], stored: frozenset[str], *, single: bool) -> Form | None:
    """Gives the form of PS3.10 files as stored, likewise."""
    try:
        form = instances_form(ranges, stored, (), single=single)
    except NotAcceptable:
        return None
    common = next(iter(stored)) if len(stored) == 1 else ""
    return form if _unsurpassed(ranges, replace(form.offer, transfer_syntax=common)) else None


def bulk_form(
    ranges: Iterable[MediaRange], media_type: str = "", *, single: bool = True, prefer_single: bool = False
) -> Form:
    """Gives the form of bulk data other than frames.

    Args:
        media_type: of the content, where it is more than bytes: a video.
        single: there is one piece, which may be a body of its own,
        prefer_single: and had better be one, where the client does not care.

    Raises:
        NotAcceptable: in none of the ways that the client accepts.
    """
    forms = [Form(True, each) for each in (BYTES, media_type) if each]
    alone = [replace(form, multipart=False) for form in forms] if single else []
    forms = [*alone, *forms] if prefer_single else [*forms, *alone]
    offered = {form.offer: form for form in forms}
    # Bulk data that is no pixels has no transfer syntax: what the client says of it is no condition.
    chosen = choose([replace(each, transfer_syntax="") for each in ranges], list(offered))
    if chosen is None:
        raise NotAcceptable([_described(offer) for offer in offered])
    return offered[chosen]


def _unsurpassed(ranges: Sequence[MediaRange], offer: Offer) -> bool:
    at = speaking(ranges, offer)
    return at is not None and ranges[at].q == ranges[0].q


def _forms(transfer_syntax: str, *, made: bool) -> list[Form]:
    syntax = lookup(transfer_syntax)
    media_type = syntax.media_type if syntax is not None and syntax.encapsulated else ""
    return [Form(True, each, transfer_syntax, made) for each in (BYTES, media_type) if each]


def _allowed(ranges: Sequence[MediaRange], form: Form) -> bool:
    """Says whether a form may be considered: one that has to be made and loses something only when it is named."""
    syntax = lookup(form.transfer_syntax)
    if not form.made or syntax is None or not syntax.lossy:
        return True
    return any(
        each.transfer_syntax == form.transfer_syntax or form.media_type in (each.media_type, each.part_type)
        for each in ranges
    )


def _is_encapsulated(transfer_syntax_uid: str) -> bool:
    syntax = lookup(transfer_syntax_uid)
    return syntax is not None and syntax.encapsulated


def _is_frame_syntax(transfer_syntax_uid: str) -> bool:
    """Of the native syntaxes only one is of frames: their bytes are the same in all (PS3.18 8.7.3.3.1)."""
    return transfer_syntax_uid == EXPLICIT_LITTLE_ENDIAN or _is_encapsulated(transfer_syntax_uid)


def _described(offer: Offer) -> str:
    kind = f'{offer.media_type}; type="{offer.part_type}"' if offer.part_type else offer.media_type
    return typed(kind, offer.transfer_syntax)
