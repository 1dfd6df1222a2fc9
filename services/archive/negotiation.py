"""What form an answer takes (PS3.18 8.7): the client's ranges against what is stored and what can be made of it.

As stored is always possible. Explicit VR Little Endian is made on request; other transfer syntaxes are refused with a
list of what would do.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from services.archive.errors import NotAcceptable
from services.dicom.accept import MULTIPART, MediaRange, Offer, accepts, choose
from services.dicom.transfer_syntaxes import EXPLICIT_LITTLE_ENDIAN, lookup

DICOM: Final = "application/dicom"
BYTES: Final = "application/octet-stream"
DICOM_JSON: Final = "application/dicom+json"
_JSON_OFFERS: Final = (Offer(DICOM_JSON), Offer("application/json"))


@dataclass(frozen=True, slots=True)
class Form:
    """The form of an answer.

    Attributes:
        multipart: parts in a multipart/related body; otherwise the body is the one content.
        media_type: of each content.
        transfer_syntax: of each content; "" where each instance keeps its own.
        decode: the content has to be decoded to Explicit VR Little Endian first.
    """

    multipart: bool
    media_type: str
    transfer_syntax: str = ""
    decode: bool = False


def json_form(ranges: Sequence[MediaRange]) -> str:
    """Gives the media type of a JSON answer.

    Raises:
        NotAcceptable: the client accepts no JSON.
    """
    chosen = choose(ranges, _JSON_OFFERS)
    if chosen is None:
        raise NotAcceptable([offer.media_type for offer in _JSON_OFFERS])
    return chosen.media_type


def instances_form(ranges: Sequence[MediaRange], stored: Collection[str], *, single: bool) -> Form:
    """Gives the form of PS3.10 files.

    Args:
        ranges: what the client accepts, best first.
        stored: transfer syntaxes of the instances.
        single: there is one instance, which may be a body of its own.

    Raises:
        NotAcceptable: in none of the ways that the client accepts.
    """
    for wanted in ranges:
        for multipart in (True, False) if single else (True,):
            kind = (MULTIPART, DICOM) if multipart else (DICOM, "")
            if not accepts(wanted, Offer(*kind, wanted.transfer_syntax)):
                continue
            if wanted.transfer_syntax in ("", "*") or {wanted.transfer_syntax} == set(stored):
                return Form(multipart, DICOM)
            if wanted.transfer_syntax == EXPLICIT_LITTLE_ENDIAN and all(map(_decodable, stored)):
                return Form(multipart, DICOM, EXPLICIT_LITTLE_ENDIAN, decode=True)
    raise NotAcceptable(
        [f'{MULTIPART}; type="{DICOM}"; transfer-syntax={syntax}' for syntax in ("*", *_decoded(stored))]
    )


def frames_form(ranges: Sequence[MediaRange], stored: str, *, single: bool) -> Form:
    """Gives the form of frames.

    Args:
        ranges: what the client accepts, best first.
        stored: transfer syntax of the instance. Native frames are always given as Explicit VR Little Endian.
        single: there is one frame, which may be a body of its own.

    Raises:
        NotAcceptable: in none of the ways that the client accepts.
    """
    syntax = lookup(stored)
    encapsulated = syntax is not None and syntax.encapsulated
    as_stored = stored if encapsulated else EXPLICIT_LITTLE_ENDIAN
    forms = [Form(True, BYTES, as_stored)]
    if encapsulated and syntax is not None and syntax.media_type:
        forms.append(Form(True, syntax.media_type, as_stored))
    if encapsulated and _decodable(stored):
        forms.append(Form(True, BYTES, EXPLICIT_LITTLE_ENDIAN, decode=True))
    if single:
        forms += [Form(False, form.media_type, form.transfer_syntax, form.decode) for form in forms]
    for wanted in ranges:
        for form in forms:
            if accepts(wanted, _offer(form)):
                return form
    raise NotAcceptable([_described(form) for form in forms])


def bulk_form(ranges: Sequence[MediaRange]) -> Form:
    """Gives the form of bulk data other than frames.

    Raises:
        NotAcceptable: in none of the ways that the client accepts.
    """
    forms = [Form(True, BYTES), Form(False, BYTES)]
    for wanted in ranges:
        for form in forms:
            # Bulk data that is no pixels has no transfer syntax: what the client says of it is no condition.
            if accepts(MediaRange(wanted.media_type, wanted.part_type), _offer(form)):
                return form
    raise NotAcceptable([_described(form) for form in forms])


def _offer(form: Form) -> Offer:
    if form.multipart:
        return Offer(MULTIPART, form.media_type, form.transfer_syntax)
    return Offer(form.media_type, transfer_syntax=form.transfer_syntax)


def _described(form: Form) -> str:
    syntax = f"; transfer-syntax={form.transfer_syntax}" if form.transfer_syntax else ""
    return f'{MULTIPART}; type="{form.media_type}"{syntax}' if form.multipart else f"{form.media_type}{syntax}"


def _decodable(transfer_syntax_uid: str) -> bool:
    syntax = lookup(transfer_syntax_uid)
    return syntax is not None and not syntax.video and "JPIP" not in syntax.name


def _decoded(stored: Collection[str]) -> tuple[str, ...]:
    return (EXPLICIT_LITTLE_ENDIAN,) if all(map(_decodable, stored)) else ()
