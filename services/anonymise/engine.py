"""De-identification of one instance by PS3.15 Annex E: every element of every item, at every depth.

`deidentify` reads raw elements, decides for each by the profile, and writes a new file of nothing but what was decided
upon. Pixels are never decoded. Without an option of the profile, this is the Basic Profile (code 113100).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from services.anonymise import marks
from services.anonymise.admission import admit
from services.anonymise.attributes import (
    IDENTIFYING,
    SHORT_TEXT,
    STRINGS,
    Attribute,
    attribute_of,
    conforms,
    dummy,
)
from services.anonymise.elements import PIXEL_DATA, Element, File, items_of, read_file
from services.anonymise.errors import Reason, RefusedError
from services.anonymise.identifiers import Identifiers
from services.anonymise.model import Action, Because, DeidentifiedInstance, Pseudonym, Taken, UidKind
from services.anonymise.profile import ROOT, Profile, basic_profile
from services.anonymise.pseudonyms import Pseudonyms, is_well_known
from services.anonymise.writing import Writer, file_head, written_syntax

_DEEPEST = 32
_UID_MOST = 64
_PATIENT_ID = 0x00100020
_SOP_CLASS_UID, _SOP_INSTANCE_UID = 0x00080016, 0x00080018
_STUDY_INSTANCE_UID = 0x0020000D
_PIXEL_REPRESENTATION = 0x00280103
_KINDS = {
    _STUDY_INSTANCE_UID: UidKind.STUDY,
    0x0020000E: UidKind.SERIES,
    _SOP_INSTANCE_UID: UidKind.INSTANCE,
    0x00200052: UidKind.FRAME_OF_REFERENCE,
}


@dataclass(frozen=True, slots=True)
class Policy:
    """By which rules and with which key.

    Attributes:
        profile: the table.
        pseudonyms: the keyed pseudonyms of the project.
    """

    pseudonyms: Pseudonyms
    profile: Profile = field(default_factory=basic_profile)


def deidentify(data: bytes, policy: Policy) -> DeidentifiedInstance:
    """What a PS3.10 file becomes before it may leave.

    Raises:
        RefusedError: it may not leave.
    """
    file = read_file(data)
    admit(file)
    return clean(file, policy)


def clean(file: File, policy: Policy) -> DeidentifiedInstance:
    """The walk and the last check, for a file that was let in.

    Raises:
        RefusedError: `phi-left` or `too-large`.
    """
    walk = _Walk(file, policy)
    head, tail = walk.written()
    if walk.identifiers.may_be_in(kept.value for kept in walk.kept) and (suspects := walk.suspects()):
        # Rare: an identifier stands in something that the profile keeps. Take that out, too.
        walk = _Walk(file, policy, suspects)
        head, tail = walk.written()
        if walk.suspects():
            raise RefusedError(Reason.PHI_LEFT)
    if walk.identifiers.found_in_header(head + tail):
        raise RefusedError(Reason.PHI_LEFT)
    return DeidentifiedInstance(
        walk.sop_instance_uid, b"".join((head, *walk.pixels, tail)), walk.uids, tuple(walk.taken)
    )


class _Kept(NamedTuple):
    """A string value that stayed."""

    path: tuple[int, ...]
    vr: str
    value: bytes


class _Walk:
    """One way through one file."""

    def __init__(self, file: File, policy: Policy, suspects: frozenset[_Kept] = frozenset()) -> None:
        self._file = file
        self._profile = policy.profile
        self._pseudonyms = policy.pseudonyms
        self._suspects = suspects
        self._syntax = written_syntax(file.transfer_syntax)
        self._writer = Writer(file.coding.order)
        root = {element.tag: bytes(element.value) for element in file.elements if len(element.value) <= _UID_MOST}
        self._sop_class_uid = _texts(root.get(_SOP_CLASS_UID, b""))[0]
        self._study_instance_uid = _texts(root.get(_STUDY_INSTANCE_UID, b""))[0]
        self._signed = any(root.get(_PIXEL_REPRESENTATION, b""))
        self.sop_instance_uid = self._pseudonyms.uid(_texts(root.get(_SOP_INSTANCE_UID, b""))[0])
        self.pixels: tuple[bytes | memoryview, ...] = ()
        self.identifiers = Identifiers()
        self.kept: list[_Kept] = []
        self.uids: dict[str, Pseudonym] = {}
        self.taken: list[Taken] = []

    def suspects(self) -> frozenset[_Kept]:
        """The kept values in which an identifier stands."""
        return frozenset(
            kept for kept in self.kept if self.identifiers.found_in(kept.value, is_free_text=kept.vr in SHORT_TEXT)
        )

    def written(self) -> tuple[bytes, bytes]:
        """What stands before and behind Pixel Data."""
        elements = self._dataset(self._file.elements, ())
        elements.update(marks.marks(self._writer, self._profile.edition, self._earlier_codes()))
        tags = sorted(elements)
        head = file_head(
            sop_class_uid=self._sop_class_uid,
            sop_instance_uid=self.sop_instance_uid,
            transfer_syntax=self._syntax,
        )
        return (
            head + b"".join(elements[tag] for tag in tags if tag < PIXEL_DATA),
            b"".join(elements[tag] for tag in tags if tag > PIXEL_DATA),
        )

    def _dataset(self, elements: list[Element], path: tuple[int, ...]) -> dict[int, bytes]:
        if len(path) > _DEEPEST:
            raise RefusedError(Reason.TOO_LARGE)
        written = {}
        for element in elements:
            action, because, data = self._element(element, path)
            self.taken.append(Taken((*path, element.tag), action, because))
            if data is not None:
                written[element.tag] = data
        return written

    def _element(self, element: Element, path: tuple[int, ...]) -> _Decision:
        tag = element.tag
        group = tag >> 16
        if group & 1:
            return _removed(Because.PRIVATE)
        if not tag & 0xFFFF or group < 8 or group >> 8 in (0x50, 0x60):
            return _removed(Because.GROUP)
        if tag in marks.TAGS:
            return _removed(Because.MARK)
        if tag == PIXEL_DATA and not path:
            return self._pixel_data(element)
        attribute = attribute_of(tag)
        code = self._profile.codes.get(tag)
        if attribute is None:
            return _removed(Because.UNKNOWN if code is None else Because.PROFILE)
        if code is None:
            return self._unlisted(element, attribute, path)
        action = self._profile.action(code, self._sop_class_uid, path[-1] if path else ROOT, tag)
        return self._listed(element, attribute, path, action)

    def _listed(self, element: Element, attribute: Attribute, path: tuple[int, ...], action: Action) -> _Decision:
        """An attribute of the table."""
        tag, vr = element.tag, attribute.vr
        if action is not Action.UID or vr == "UI":
            self._gather(element, attribute)
        match action:
            case Action.UID if vr == "SQ":
                return self._sequence(element, path, action, Because.PROFILE)
            case Action.UID:
                return action, Because.PROFILE, self._write(tag, vr, self._uids(element, path))
            case Action.EMPTY | Action.DUMMY if tag == _PATIENT_ID:
                return Action.DUMMY, Because.PROFILE, self._write(tag, vr, self._patient_id(element, path))
            case Action.EMPTY:
                return action, Because.PROFILE, self._write(tag, vr, b"")
            case Action.DUMMY if vr == "SQ":
                return action, Because.PROFILE, self._writer.sequence(tag, [marks.dummy_item(self._writer, tag)])
            case Action.DUMMY:
                return action, Because.PROFILE, self._write(tag, vr, dummy(vr))
            case _:
                return _removed(Because.PROFILE)

    def _unlisted(self, element: Element, attribute: Attribute, path: tuple[int, ...]) -> _Decision:
        """An attribute that the table does not name: it stays, if its value is what it should be."""
        if attribute.retired:
            return _removed(Because.UNKNOWN)
        vr = self._vr(element, attribute)
        if vr in IDENTIFYING or element.vr in IDENTIFYING:
            self._gather(element, attribute)
            return _removed(Because.NATURE)
        if attribute.is_opaque:
            return _removed(Because.OPAQUE)
        if vr == "SQ":
            return self._sequence(element, path, Action.KEEP, Because.UNLISTED)
        if vr == "UI":
            return Action.UID, Because.UNLISTED, self._write(element.tag, vr, self._uids(element, path))
        value = bytes(element.value)
        if not _may_stand(element, vr) or not conforms(attribute, vr, value):
            return _removed(Because.VALUE)
        if vr in STRINGS and value:
            kept = _Kept((*path, element.tag), vr, value)
            if kept in self._suspects:
                return _removed(Because.IDENTIFIER)
            self.kept.append(kept)
        return Action.KEEP, Because.UNLISTED, self._write(element.tag, vr, value)

    def _sequence(self, element: Element, path: tuple[int, ...], action: Action, because: Because) -> _Decision:
        items = items_of(element) if element.vr in ("SQ", "UN", "") else None
        if items is None:
            return _removed(Because.VALUE)
        inside = (*path, element.tag)
        written = [self._dataset(item, inside) for item in items]
        bodies = [b"".join(item[tag] for tag in sorted(item)) for item in written]
        return action, because, self._writer.sequence(element.tag, bodies)

    def _pixel_data(self, element: Element) -> _Decision:
        if element.undefined:
            self.pixels = self._writer.encapsulated_pixels(element.value)
        else:
            self.pixels = self._writer.native_pixels("OB" if element.vr == "OB" else "OW", element.value)
        return Action.KEEP, Because.UNLISTED, None

    def _uids(self, element: Element, path: tuple[int, ...]) -> bytes:
        kind = _KINDS.get(element.tag, UidKind.OTHER) if not path else UidKind.OTHER
        return "\\".join(self._uid(original, kind) for original in _texts(bytes(element.value))).encode()

    def _uid(self, original: str, kind: UidKind) -> str:
        if not original or is_well_known(original):
            return original
        pseudonym = self._pseudonyms.uid(original)
        if kind is not UidKind.OTHER or original not in self.uids:
            self.uids[original] = Pseudonym(pseudonym, kind)
        return pseudonym

    def _patient_id(self, element: Element, path: tuple[int, ...]) -> bytes:
        original = bytes(element.value).strip(b"\0 ").decode("latin-1")
        if not original and path:
            return b""
        # Patients without an ID must not become one patient.
        return self._pseudonyms.patient_id(original or f"study {self._study_instance_uid}").encode()

    def _earlier_codes(self) -> list[bytes]:
        element = next((e for e in self._file.elements if e.tag == marks.DEIDENTIFICATION_CODES), None)
        items = (items_of(element) if element is not None else None) or []
        return [bytes(e.value).strip(b"\0 ") for item in items for e in item if e.tag == marks.CODE_VALUE]

    def _gather(self, element: Element, attribute: Attribute) -> None:
        """Remember what is taken out, so that it is found where else it stands."""
        if attribute.vr != "SQ":
            self.identifiers.gather(attribute.vr, element.value)
            return
        for item in items_of(element) or ():
            for inner in item:
                found = attribute_of(inner.tag)
                # Only what is identifying by itself: a code within a removed sequence may stand elsewhere by right.
                if found is not None and (inner.tag in self._profile.codes or found.vr in ("PN", "SQ")):
                    self._gather(inner, found)

    def _vr(self, element: Element, attribute: Attribute) -> str:
        """The VR to write: the dictionary's, and of several the file's or the one that fits the pixels."""
        if element.vr in attribute.vrs:
            return element.vr
        return "SS" if self._signed and "SS" in attribute.vrs else attribute.vr

    def _write(self, tag: int, vr: str, value: bytes) -> bytes | None:
        try:
            return self._writer.element(tag, vr, value)
        except ValueError:  # longer than its VR can say: no sane writer made it
            return None


_Decision = tuple[Action, Because, bytes | None]


def _removed(because: Because) -> _Decision:
    return Action.REMOVE, because, None


def _may_stand(element: Element, vr: str) -> bool:
    """Whether bytes that the file has under another VR can be taken for `vr`."""
    if element.vr in ("", vr):
        return True
    if element.vr == "UN":  # always little endian (PS3.5 6.2.2)
        return vr in STRINGS or element.coding.order == "<"
    return element.vr in STRINGS and vr in STRINGS


def _texts(value: bytes) -> list[str]:
    """The values of a UI element."""
    return [part.strip(" \0") for part in value.decode("latin-1").split("\\")]
