"""The way back of an object that was made from de-identified images: its UIDs become the originals, its patient and
study those that an original instance names.

Pixels, documents and texts stay byte for byte; nothing but UIDs and the attributes of patient and study changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from services.anonymise.engine.attributes import attribute_of
from services.anonymise.engine.elements import PIXELS, Data, Element, File, items_of, read_file
from services.anonymise.engine.patients import CHARACTER_SET, charset_of, root_values
from services.anonymise.engine.uids import SOP_INSTANCE_UID, uid_values
from services.anonymise.engine.writing import Writer, file_head, written_syntax

_SOP_CLASS_UID = 0x00080016
_OF_PATIENT_AND_STUDY = (
    (0x00080020, "DA"),
    (0x00080030, "TM"),
    (0x00080050, "SH"),
    (0x00080090, "PN"),
    (0x00081030, "LO"),
    (0x00100010, "PN"),
    (0x00100020, "LO"),
    (0x00100021, "LO"),
    (0x00100030, "DA"),
    (0x00100040, "CS"),
    (0x00200010, "SH"),
)
_ABSENT = frozenset((0x00081030, 0x00100021))
"""Of these, what the original lacks is not there; the others are of type 2 (PS3.3 C.7.1.1, C.7.2.1)."""
_OF_DEIDENTIFICATION = frozenset((0x00120062, 0x00120063, 0x00120064, 0x00280303))


@dataclass(frozen=True, slots=True)
class WayBack:
    """Where an object belongs.

    Attributes:
        uids: pseudonym to original.
        patient_and_study: the values of the original's attributes, by tag.
        character_set: in which they are.
    """

    uids: Mapping[str, str]
    patient_and_study: Mapping[int, bytes]
    character_set: bytes = b""

    @classmethod
    def to(cls, original: Data, uids: Mapping[str, str]) -> WayBack:
        """The way back to the study of an original instance."""
        root = {element.tag: element for element in read_file(original).elements}
        values = {tag: bytes(root[tag].value) for tag, _ in _OF_PATIENT_AND_STUDY if tag in root}
        return cls(uids, values, bytes(root[CHARACTER_SET].value) if CHARACTER_SET in root else b"")


def restored(data: Data, way: WayBack) -> bytes:
    """The object with its original references, as a PS3.10 file.

    Raises:
        RefusedError: it is no readable file.
    """
    file = read_file(data)
    return b"".join(_Restoration(file, way).parts())


class _Restoration:
    def __init__(self, file: File, way: WayBack) -> None:
        self._file = file
        self._way = way
        self._writer = Writer(file.coding.order)

    def parts(self) -> Iterable[bytes | memoryview]:
        written = self._dataset(self._file.elements)
        values = self._values(written)
        for tag, vr in _OF_PATIENT_AND_STUDY:
            if tag in values or tag not in _ABSENT:
                written[tag] = (self._writer.element(tag, vr, values.get(tag, b"")),)
        for tag in _OF_DEIDENTIFICATION:
            written.pop(tag, None)
        root = {element.tag: element for element in self._file.elements}
        uids = [self._uids(bytes(root[tag].value)) if tag in root else "" for tag in (_SOP_CLASS_UID, SOP_INSTANCE_UID)]
        syntax = written_syntax(self._file.transfer_syntax)
        yield file_head(sop_class_uid=uids[0], sop_instance_uid=uids[1], transfer_syntax=syntax)
        for tag in sorted(written):
            yield from written[tag]

    def _values(self, written: dict[int, tuple[bytes | memoryview, ...]]) -> Mapping[int, bytes]:
        """The original's values in the object's character set; unless that holds them all, in the original's own."""
        own = charset_of(root_values(self._file.elements))
        if own.codec == "utf_8":
            theirs = charset_of({CHARACTER_SET: self._way.character_set})
            return {tag: theirs.decode(value).encode() for tag, value in self._way.patient_and_study.items()}
        written.pop(CHARACTER_SET, None)
        if self._way.character_set:
            written[CHARACTER_SET] = (self._writer.element(CHARACTER_SET, "CS", self._way.character_set),)
        return self._way.patient_and_study

    def _dataset(self, elements: list[Element]) -> dict[int, tuple[bytes | memoryview, ...]]:
        return {element.tag: self._element(element) for element in elements if element.tag & 0xFFFF}

    def _element(self, element: Element) -> tuple[bytes | memoryview, ...]:
        tag = element.tag
        attribute = attribute_of(tag)
        vr = element.vr or (attribute.vr if attribute is not None else "UN")
        if tag in PIXELS and element.undefined:
            return self._writer.encapsulated_pixels(element.value)
        if tag in PIXELS:
            return self._writer.native_pixels(tag, element.vr or "OW", element.value)
        items = items_of(element) if vr in ("SQ", "UN") or element.items is not None else None
        if items is not None and (vr == "SQ" or element.items is not None):
            bodies = [
                b"".join(part for inner in sorted(found) for part in found[inner])
                for found in (self._dataset(item) for item in items)
            ]
            return (self._writer.sequence(tag, bodies),)
        value = bytes(element.value)
        return (self._writer.element(tag, vr, self._uids(value).encode() if vr == "UI" else value),)

    def _uids(self, value: bytes) -> str:
        return "\\".join(self._way.uids.get(uid, uid) for uid in uid_values(value))
