"""DICOM JSON -> the Native DICOM Model in XML (PS3.19 A.1), for clients that ask for application/dicom+xml."""

from typing import Any, Final
from xml.sax.saxutils import escape, quoteattr

from services.dicom.attributes import keyword_of

_NAMESPACE: Final = "http://dicom.nema.org/PS3.19/models/NativeDICOM"
_NAME_COMPONENTS: Final = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
_CONTROL: Final = {code: "\ufffd" for code in range(32) if code not in (9, 10, 13)}


def native_xml(attributes: dict[str, Any]) -> bytes:
    """Writes one data set as an XML document."""
    body = _dataset(attributes)
    text = f'<?xml version="1.0" encoding="UTF-8"?><NativeDicomModel xmlns="{_NAMESPACE}">{body}</NativeDicomModel>'
    return text.encode()


def _dataset(attributes: dict[str, Any]) -> str:
    return "".join(_attribute(tag, element) for tag, element in attributes.items())


def _attribute(tag: str, element: dict[str, Any]) -> str:
    keyword = keyword_of(tag)
    named = f" keyword={quoteattr(keyword)}" if keyword else ""
    return f'<DicomAttribute tag="{tag}" vr="{element["vr"]}"{named}>{_content(element)}</DicomAttribute>'


def _content(element: dict[str, Any]) -> str:
    if "BulkDataURI" in element:
        return f"<BulkData uri={quoteattr(element['BulkDataURI'])}/>"
    if "InlineBinary" in element:
        return f"<InlineBinary>{element['InlineBinary']}</InlineBinary>"
    written = {"SQ": _item, "PN": _name}.get(element["vr"], _value)
    values = enumerate(element.get("Value", ()), start=1)
    return "".join(written(number, value) for number, value in values if value is not None)


def _value(number: int, value: Any) -> str:
    return f'<Value number="{number}">{_text(value)}</Value>'


def _item(number: int, value: Any) -> str:
    return f'<Item number="{number}">{_dataset(value)}</Item>'


def _name(number: int, value: Any) -> str:
    groups = []
    for group, text in value.items():
        parts = zip(_NAME_COMPONENTS, text.split("^"), strict=False)
        groups.append(
            f"<{group}>{''.join(f'<{name}>{_text(part)}</{name}>' for name, part in parts if part)}</{group}>"
        )
    return f'<PersonName number="{number}">{"".join(groups)}</PersonName>'


def _text(value: Any) -> str:
    return escape(str(value).translate(_CONTROL))
