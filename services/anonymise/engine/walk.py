"""One way through one file: each element is decided upon by the profile, and written anew or not at all."""

from __future__ import annotations

from services.anonymise.engine import icc, marks
from services.anonymise.engine.attributes import IDENTIFYING, STRINGS, Attribute, attribute_of, conforms, dummy
from services.anonymise.engine.content import ContentCleaner
from services.anonymise.engine.decisions import Decision, may_stand, removed
from services.anonymise.engine.documents import ENCAPSULATED_DOCUMENT, empty_document
from services.anonymise.engine.elements import PIXEL_DATA, PIXELS, Element, File, items_of
from services.anonymise.engine.needed import let_through, needed
from services.anonymise.engine.options import OF_PIXELS, Option
from services.anonymise.engine.patients import PATIENT_ID, charset_of, name_words, normalised, patient_of, root_values
from services.anonymise.engine.private import NUMERIC, Blocks
from services.anonymise.engine.profile import Documents, Others, Profile, Rule, Treatment
from services.anonymise.engine.pseudonyms import Pseudonyms
from services.anonymise.engine.table import ROOT, resolve
from services.anonymise.engine.uids import SOP_INSTANCE_UID, UidMap, uid_values
from services.anonymise.engine.values import Values
from services.anonymise.engine.watch import Kept, Watch
from services.anonymise.engine.writing import Writer, file_head, written_syntax
from services.anonymise.errors import Reason, RefusedError
from services.anonymise.model import Action, Because, Code, Taken

_DEEPEST = 32
_SOP_CLASS_UID = 0x00080016
_PIXEL_REPRESENTATION = 0x00280103
_ICC_PROFILE = 0x00282000
_MEDIA_TYPE = 0x00420012


class Walk:
    """One way through one file.

    Attributes:
        pixels: Pixel Data with its header, as pieces.
        watch: looks for what was taken out where else it stands.
        uids: original UID to pseudonym.
        taken: what was done to every element.
    """

    def __init__(
        self,
        file: File,
        profile: Profile,
        pseudonyms: Pseudonyms,
        done: frozenset[Option] = frozenset(),
        suspects: frozenset[Kept] = frozenset(),
    ) -> None:
        self._file = file
        self._profile = profile
        self._pseudonyms = pseudonyms
        self._done = done
        self._needed = needed() if profile.others is Others.NEEDED else None
        self._syntax = written_syntax(file.transfer_syntax)
        self._writer = Writer(file.coding.order)
        self._root = root = root_values(file.elements)
        self._sop_class_uid = uid_values(root.get(_SOP_CLASS_UID, b""))[0]
        self._types = profile.table.types(self._sop_class_uid)
        self._signed = any(root.get(_PIXEL_REPRESENTATION, b""))
        charset = charset_of(root)
        names = {word for tag, value in root.items() if _is_name(tag) for word in name_words(charset.decode(value))}
        patient = patient_of(root, charset)
        self._values = Values(pseudonyms, charset, patient, frozenset(names), profile.words)
        self._content = ContentCleaner(self._values)
        self.uids = UidMap(pseudonyms, retains=Option.RETAIN_UIDS in profile.options)
        original = uid_values(root.get(SOP_INSTANCE_UID, b""))[0]
        self.sop_instance_uid = original if self.uids.retains else pseudonyms.uid(original)
        self.pixels: tuple[bytes | memoryview, ...] = ()
        self.watch = Watch(profile.rules.keys(), suspects, retains_uids=self.uids.retains)
        self.taken: list[Taken] = []

    def written(self) -> tuple[bytes, bytes]:
        """What stands before and behind Pixel Data."""
        elements = self._dataset(self._file.elements, ())
        longitudinal = self._root.get(marks.LONGITUDINAL_MODIFIED, b"").strip(b"\0 ")
        done = self._profile.options - OF_PIXELS | self._done
        elements.update(marks.marks(self._writer, self._profile, done, self._earlier_codes(), longitudinal))
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
        taken = self.taken
        blocks = Blocks(elements) if self._profile.safe_private else None
        for element in elements:
            tag = element.tag
            if tag >> 16 & 1:
                action, because, data = self._private(element, path, blocks)
            else:
                action, because, data = self._element(element, path)
            taken.append(Taken((*path, tag), action, because))
            if data is not None:
                written[tag] = data
        for tag in blocks.used if blocks else ():
            written[tag] = self._writer.element(tag, "LO", (blocks.creator(tag) or "").encode() if blocks else b"")
        return written

    def _private(self, element: Element, path: tuple[int, ...], blocks: Blocks | None) -> Decision:
        """A private attribute stays if a safe list names it, and its value is what the list says."""
        attribute = blocks.find(element.tag, self._profile.safe_private) if blocks else None
        if attribute is None:
            return removed(Because.PRIVATE)
        value = bytes(element.value)
        if not may_stand(element, attribute.vr) or not conforms(attribute, attribute.vr, value):
            return removed(Because.VALUE)
        if attribute.vr not in NUMERIC and not self.watch.may_stay(element.tag, attribute.vr, value, path):
            return self._masked(element.tag, attribute.vr)
        return Action.KEEP, Option.RETAIN_SAFE_PRIVATE, self._write(element.tag, attribute.vr, value)

    def _element(self, element: Element, path: tuple[int, ...]) -> Decision:
        tag = element.tag
        group = tag >> 16
        if not tag & 0xFFFF or group < 8 or group >> 8 in (0x50, 0x60):
            return removed(Because.GROUP)
        if tag in marks.TAGS:
            return removed(Because.MARK)
        if tag in PIXELS and not path:
            return self._pixel_data(element)
        attribute = attribute_of(tag)
        rule = self._profile.rules.get(tag)
        if attribute is None:
            return removed(Because.UNKNOWN if rule is None else Because.PROFILE)
        if rule is not None:
            return self._listed(element, attribute, path, rule)
        return self._unlisted(element, attribute, path)

    def _listed(self, element: Element, attribute: Attribute, path: tuple[int, ...], rule: Rule) -> Decision:
        """An attribute of the table, or one of which the site says something."""
        tag = element.tag
        if tag == ENCAPSULATED_DOCUMENT and not path:
            return self._document(element)
        coded = self._resolved(rule.code, path, tag)
        if rule.treatment is Treatment.CODE:
            return self._coded(element, attribute, path, coded, rule.because)
        vr = self._vr(element, attribute)
        if rule.treatment is Treatment.REPLACE:
            self.watch.gather(element, attribute)
            return Action.DUMMY, rule.because, self._write(tag, vr, rule.value)
        if vr == "SQ":
            with self._content.entered(rule):
                kept = self._sequence(element, path, Action.KEEP, rule.because)
            return kept if kept[2] is not None else self._coded(element, attribute, path, coded, rule.because)
        value: bytes | None = bytes(element.value)
        if value and may_stand(element, vr):
            if rule.treatment is Treatment.KEEP:
                kept_uid = vr == "UI" and self.uids.retained(value, tag, path)
                value = kept_uid or self._values.kept(attribute, vr, value)
            else:
                value = self._values.cleaned(attribute, vr, value, rule.because)
        else:
            value = None if value else b""
        if value is None:
            return self._coded(element, attribute, path, coded, rule.because)
        if not self.watch.may_stay(tag, vr, value, path):
            return self._coded(element, attribute, path, coded, Because.IDENTIFIER)
        if rule.treatment is Treatment.KEEP:
            return Action.KEEP, rule.because, self._write(tag, vr, value)
        self.watch.gather(element, attribute)
        return Action.CLEAN, rule.because, self._write(tag, vr, value)

    def _coded(
        self, element: Element, attribute: Attribute, path: tuple[int, ...], action: Action, because: Because | Option
    ) -> Decision:
        """By an action code of the Basic Profile."""
        tag, vr = element.tag, attribute.vr
        if action is not Action.UID or vr == "UI":
            self.watch.gather(element, attribute)
        match action:
            case Action.UID if vr == "SQ":
                return self._sequence(element, path, action, because)
            case Action.UID:
                return action, because, self._write(tag, vr, self.uids.replaced(bytes(element.value), tag, path))
            case Action.EMPTY | Action.DUMMY if tag == PATIENT_ID:
                return Action.DUMMY, because, self._write(tag, vr, self._patient_id(element, path))
            case Action.EMPTY:
                return action, because, self._write(tag, vr, b"")
            case Action.DUMMY if vr == "SQ":
                item = marks.dummy_item(self._writer, tag)
                if item is not None:
                    return action, because, self._writer.sequence(tag, [item])
                with self._content.emptied():
                    return self._sequence(element, path, action, because)
            case Action.DUMMY if vr == "UI":
                return Action.UID, because, self._write(tag, vr, self.uids.replaced(bytes(element.value), tag, path))
            case Action.DUMMY:
                return action, because, self._write(tag, vr, dummy(vr))
            case _:
                return removed(because)

    def _unlisted(self, element: Element, attribute: Attribute, path: tuple[int, ...]) -> Decision:
        """An attribute that the table does not name: it stays, if its value is what it should be."""
        if attribute.retired:
            return removed(Because.UNKNOWN)
        tag, vr = element.tag, self._vr(element, attribute)
        if self._needed is not None and tag not in self._needed:
            return self._coded(element, attribute, path, self._resolved(Code.X_Z_D, path, tag), Because.NOT_NEEDED)
        if vr in IDENTIFYING or element.vr in IDENTIFYING:
            # The least that keeps the instance valid, as the table does for those of this nature that it names.
            return self._coded(element, attribute, path, self._resolved(Code.X_Z_D, path, tag), Because.NATURE)
        if tag == _ICC_PROFILE and (colours := icc.neutral(bytes(element.value))):
            return Action.CLEAN, Because.OPAQUE, self._write(tag, "OB", colours)
        if attribute.is_opaque:
            return removed(Because.OPAQUE)
        if vr == "SQ":
            return self._sequence(element, path, Action.KEEP, Because.UNLISTED)
        if vr == "UI":
            return self._unlisted_uid(element, path)
        return self._plain(element, attribute, vr, path)

    def _plain(self, element: Element, attribute: Attribute, vr: str, path: tuple[int, ...]) -> Decision:
        """A value that the table does not name, of a VR that names nobody."""
        tag = element.tag
        value = bytes(element.value)
        if self._needed is not None:
            value = let_through(value, self._needed[tag])
        if not may_stand(element, vr) or not conforms(attribute, vr, value):
            return removed(Because.VALUE)
        if vr not in STRINGS or not value:
            return Action.KEEP, Because.UNLISTED, self._write(tag, vr, value)
        said = self._content.said(tag, vr, value)
        if said is None:
            self.watch.gather(element, attribute)
            return removed(self._content.because)
        if said != value:
            self.watch.gather(element, attribute)
            return Action.CLEAN, self._content.because, self._write(tag, vr, said)
        if not self.watch.may_stay(tag, vr, value, path):
            return self._masked(tag, vr)
        return Action.KEEP, Because.UNLISTED, self._write(tag, vr, value)

    def _masked(self, tag: int, vr: str) -> Decision:
        """In the place of a value in which an identifier stands: a dummy is valid whatever the attribute's type."""
        return Action.DUMMY, Because.IDENTIFIER, self._write(tag, vr, dummy(vr))

    def _resolved(self, code: Code, path: tuple[int, ...], tag: int) -> Action:
        return resolve(code, self._types.get((path[-1] if path else ROOT, tag), "3"))

    def _sequence(self, element: Element, path: tuple[int, ...], action: Action, because: Because | Option) -> Decision:
        items = items_of(element) if element.vr in ("SQ", "UN", "") else None
        if items is None:
            return removed(Because.VALUE)
        inside = (*path, element.tag)
        written = [self._dataset(item, inside) for item in items]
        bodies = [b"".join(item[tag] for tag in sorted(item)) for item in written]
        return action, because, self._writer.sequence(element.tag, bodies)

    def _pixel_data(self, element: Element) -> Decision:
        if element.undefined:
            self.pixels = self._writer.encapsulated_pixels(element.value)
        else:
            vr = attribute_of(element.tag)
            native = vr.vr if vr is not None and element.tag != PIXEL_DATA else "OB" if element.vr == "OB" else "OW"
            self.pixels = self._writer.native_pixels(element.tag, native, element.value)
        return Action.KEEP, Because.UNLISTED, None

    def _document(self, element: Element) -> Decision:
        if self._profile.documents is Documents.RETAIN:
            return Action.KEEP, Because.DOCUMENT, self._write(element.tag, "OB", bytes(element.value))
        empty = empty_document(self._root.get(_MEDIA_TYPE, b""))
        if empty is None:
            raise RefusedError(Reason.DOCUMENT)
        return Action.DUMMY, Because.DOCUMENT, self._write(element.tag, "OB", empty)

    def _unlisted_uid(self, element: Element, path: tuple[int, ...]) -> Decision:
        tag, value = element.tag, bytes(element.value)
        if not self.uids.retains:
            replaced = self.uids.replaced(value, tag, path)
            action = Action.KEEP if replaced == value.rstrip(b"\0 ") else Action.UID
            return action, Because.UNLISTED, self._write(tag, "UI", replaced)
        retained = self.uids.retained(value, tag, path)
        if retained is None:
            return removed(Because.VALUE)
        return Action.KEEP, Option.RETAIN_UIDS, self._write(tag, "UI", retained)

    def _patient_id(self, element: Element, path: tuple[int, ...]) -> bytes:
        patient = self._values.patient
        if path:
            patient = normalised(self._values.charset.decode(bytes(element.value)))
        return self._pseudonyms.patient_id(patient).encode() if patient else b""

    def _earlier_codes(self) -> list[bytes]:
        element = next((e for e in self._file.elements if e.tag == marks.DEIDENTIFICATION_CODES), None)
        items = (items_of(element) if element is not None else None) or []
        return [bytes(e.value).strip(b"\0 ") for item in items for e in item if e.tag == marks.CODE_VALUE]

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


def _is_name(tag: int) -> bool:
    attribute = attribute_of(tag)
    return attribute is not None and attribute.vr == "PN"
