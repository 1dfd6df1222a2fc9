"""DICOM JSON <-> the Native DICOM Model in XML (PS3.19 A.1): the payload of application/dicom+xml (PS3.18 8.7.3.2).

Both say the same (PS3.18 F.2), so that nothing but the text of numbers is lost on the way. A document from outside is
not trusted: document types are refused, so no entity is ever expanded, and depth and gaps are bounded.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, Final
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from services.dicom.attributes import keyword_of
from services.dicom.dicom_json import DicomJson

_NAMESPACE: Final = "http://dicom.nema.org/PS3.19/models/NativeDICOM"
_GROUPS: Final = ("Alphabetic", "Ideographic", "Phonetic")
_COMPONENTS: Final = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
_NOT_XML: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_TAG: Final = re.compile(r"[0-9A-Fa-f]{8}")
_VR: Final = re.compile(r"[A-Z]{2}")
_INTEGERS: Final = frozenset(("IS", "SL", "SS", "SV", "UL", "US", "UV"))
_DECIMALS: Final = frozenset(("DS", "FD", "FL"))
_MAX_DEPTH: Final = 256
"""Of elements; an item takes two."""
_MAX_GAPS: Final = 4096
"""Values that a document may leave out, altogether: one number costs a client nothing, the nulls cost us."""


class NativeXmlError(ValueError):
    """The bytes are no Native DICOM Model. Says what is wrong, never a value."""


def native_dicom_model(attributes: DicomJson) -> bytes:
    """Writes one data set as an XML document in UTF-8.

    What XML cannot hold (control characters, lone surrogates) becomes U+FFFD.

    Args:
        attributes: DICOM JSON; BulkDataURIs are written as they are.
    """
    head = f'<?xml version="1.0" encoding="UTF-8"?><NativeDicomModel xmlns="{_NAMESPACE}" xml:space="preserve">'
    return f"{head}{_dataset(attributes)}</NativeDicomModel>".encode()


native_xml = native_dicom_model
"""The name by which others know it."""


def _dataset(attributes: DicomJson) -> str:
    return "".join(_attribute(tag, element, attributes) for tag, element in attributes.items())


def _attribute(tag: str, element: dict[str, Any], around: DicomJson) -> str:
    keyword = keyword_of(tag)
    named = f" keyword={quoteattr(keyword)}" if keyword else ""
    if creator := _creator(tag, around):
        # The block is of this data set alone; its creator tells which it is (PS3.5 7.8.1).
        named, tag = f" privateCreator={quoteattr(_legal(creator))}", f"{tag[:4]}00{tag[6:]}"
    return f'<DicomAttribute tag="{tag}" vr="{element["vr"]}"{named}>{_content(element)}</DicomAttribute>'


def _creator(tag: str, around: DicomJson) -> str:
    """The private creator of a private element; "" where there is none."""
    if not _is_private(tag) or tag[4:6] == "00":
        return ""
    match around.get(f"{tag[:4]}00{tag[4:6]}", {}).get("Value"):
        case [str(creator)]:
            return creator
        case _:
            return ""


def _is_private(tag: str) -> bool:
    return int(tag[3], 16) % 2 == 1


def _content(element: dict[str, Any]) -> str:
    if "BulkDataURI" in element:
        return f"<BulkData uri={quoteattr(_legal(element['BulkDataURI']))}/>"
    if "InlineBinary" in element:
        return f"<InlineBinary>{_text(element['InlineBinary'])}</InlineBinary>"
    written = {"SQ": _item, "PN": _name}.get(element["vr"], _value)
    return "".join(written(number, value) for number, value in enumerate(element.get("Value", ()), start=1))


def _value(number: int, value: Any) -> str:
    # What has no value is told by the numbers around it (PS3.18 F.2.5).
    return "" if value is None else f'<Value number="{number}">{_text(value)}</Value>'


def _item(number: int, value: Any) -> str:
    return f'<Item number="{number}">{_dataset(value or {})}</Item>'


def _name(number: int, value: Any) -> str:
    if value is None:
        return ""
    groups = []
    for group in _GROUPS:
        *parts, last = value.get(group, "").split("^", len(_COMPONENTS) - 1)
        named = zip(_COMPONENTS, (*parts, last), strict=False)
        components = "".join(f"<{component}>{_text(part)}</{component}>" for component, part in named if part)
        groups.append(f"<{group}>{components}</{group}>" if components else "")
    return f'<PersonName number="{number}">{"".join(groups)}</PersonName>'


def _text(value: Any) -> str:
    # A carriage return that is written as it is would be read as a line feed (XML 1.0 2.11).
    return escape(_legal(str(value)), {"\r": "&#13;"})


def _legal(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)


def parse_native(document: bytes) -> DicomJson:
    """Reads one data set.

    Elements are told by their local names: many clients leave the namespace out. Elements of text VRs, and numbers that
    are none, come as strings.

    Args:
        document: one XML document, in an encoding that it declares or that XML has by default.

    Raises:
        NativeXmlError: it is no such document, or has a document type, or is nested too deeply.
    """
    root = _Reader().read(document)
    if root.tag != "NativeDicomModel":
        raise NativeXmlError("the root element is not NativeDicomModel")
    return _Gaps().dataset(root)


class _Reader:
    """Builds the tree of a document, in local names and without document types."""

    def __init__(self) -> None:
        self._tree = TreeBuilder()
        self._depth = 0

    def read(self, document: bytes) -> Element:
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = _refuse_doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._tree.data
        try:
            parser.Parse(document, True)
        except (expat.ExpatError, LookupError, ValueError) as error:
            if isinstance(error, NativeXmlError):
                raise
            raise NativeXmlError("this is not well-formed XML") from None
        return self._tree.close()

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise NativeXmlError("the elements are nested too deeply")
        self._tree.start(name.rpartition(" ")[2], attributes)

    def _end(self, name: str) -> None:
        self._depth -= 1
        self._tree.end(name.rpartition(" ")[2])


def _refuse_doctype(*_: object) -> None:
    raise NativeXmlError("a document type is not allowed here")


class _Gaps:
    """Reads elements, and counts the values that the document leaves out."""

    def __init__(self) -> None:
        self._left = _MAX_GAPS

    def dataset(self, parent: Element) -> DicomJson:
        found: DicomJson = {}
        private: list[tuple[str, str, dict[str, Any]]] = []
        for child in parent:
            tag, vr = child.get("tag", "").upper(), child.get("vr", "")
            if child.tag != "DicomAttribute" or not _TAG.fullmatch(tag) or not _VR.fullmatch(vr):
                raise NativeXmlError("a data set has an element that is no DicomAttribute with a tag and a vr")
            element = {"vr": vr} | self._content(child, vr)
            creator = child.get("privateCreator", "")
            if creator and _is_private(tag):
                private.append((tag, creator, element))
            else:
                _add(found, tag, element)
        for tag, creator, element in private:
            _add(found, f"{tag[:4]}{_block(found, tag, creator)}{tag[6:]}", element)
        return dict(sorted(found.items()))

    def _content(self, attribute: Element, vr: str) -> dict[str, Any]:
        children = list(attribute)
        match [child.tag for child in children]:
            case []:
                return {}
            case ["BulkData"]:
                uri = children[0].get("uri") or children[0].get("uuid")
                if not uri:
                    raise NativeXmlError("a BulkData has no uri")
                return {"BulkDataURI": uri}
            case ["InlineBinary"]:
                inline = "".join((children[0].text or "").split())
                return {"InlineBinary": inline} if inline else {}
            case _:
                return self._values(children, vr)

    def _values(self, children: list[Element], vr: str) -> dict[str, Any]:
        name, read = _READERS.get(vr, ("Value", _string))
        values: list[Any] = []
        for child in children:
            number = child.get("number", "")
            if child.tag != name or not (number.isascii() and number.isdigit() and len(number) < 9):
                raise NativeXmlError("an attribute has content that does not fit its vr")
            gap = int(number) - 1 - len(values)
            self._left -= gap
            if gap < 0 or self._left < 0:
                raise NativeXmlError("the values of an attribute are not in the order of their numbers")
            values += [{} if vr == "SQ" else None] * gap
            values.append(self.dataset(child) if vr == "SQ" else read(child))
        return {} if vr != "SQ" and not any(value is not None for value in values) else {"Value": values}


def _add(found: DicomJson, tag: str, element: dict[str, Any]) -> None:
    if tag in found:
        raise NativeXmlError("a data set has one tag twice")
    found[tag] = element


def _block(found: DicomJson, tag: str, creator: str) -> str:
    """The block that a private creator has in this data set, or gets: two digits (PS3.5 7.8.1)."""
    group = tag[:4]
    blocks = [f"{number:02X}" for number in range(0x10, 0x100)]
    for block in blocks:
        if found.get(f"{group}00{block}", {}).get("Value") == [creator]:
            return block
    free = [block for block in (tag[4:6], *blocks) if block in blocks and f"{group}00{block}" not in found]
    if not free:
        raise NativeXmlError("a data set has more private creators than a group can hold")
    found[f"{group}00{free[0]}"] = {"vr": "LO", "Value": [creator]}
    return free[0]


def _string(value: Element) -> Any:
    return value.text or None


def _integer(value: Element) -> Any:
    text = (value.text or "").strip()
    try:
        return int(text) if text and "_" not in text else text or None
    except ValueError:
        return text


def _decimal(value: Element) -> Any:
    text = (value.text or "").strip()
    try:
        number = float(text) if text and "_" not in text else None
    except ValueError:
        number = None
    # JSON has no infinities; a whole number stays one.
    if number is None or not math.isfinite(number):
        return text or None
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _person(value: Element) -> Any:
    name: dict[str, str] = {}
    for group in value:
        components = {part.tag: part.text or "" for part in group}
        if group.tag not in _GROUPS or not components.keys() <= set(_COMPONENTS):
            raise NativeXmlError("a PersonName has a part that is none")
        if text := "^".join(components.get(component, "") for component in _COMPONENTS).rstrip("^"):
            name[group.tag] = text
    return name or None


_READERS: Final[dict[str, tuple[str, Callable[[Element], Any]]]] = {
    "SQ": ("Item", _string),
    "PN": ("PersonName", _person),
    **dict.fromkeys(_INTEGERS, ("Value", _integer)),
    **dict.fromkeys(_DECIMALS, ("Value", _decimal)),
}
