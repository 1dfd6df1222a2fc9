"""Attributes of a series as CEL values: typed by the data dictionary (PS3.6), read from DICOM JSON (PS3.18 F.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from celpy import celtypes
from pydicom.datadict import dictionary_VM, dictionary_VR, tag_for_keyword

MOST_VALUES = 100
"""Of a list: a rule's macros go through it."""

_INTEGERS = {"IS", "US", "SS", "UL", "SL", "UV", "SV", "US or SS"}
_FLOATS = {"DS", "FL", "FD"}
_TEXTS = {"AE", "AS", "AT", "CS", "DA", "DT", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"}

Scalar = celtypes.StringType | celtypes.IntType | celtypes.DoubleType


class UnusableAttributeError(ValueError):
    """A rule cannot read this attribute; the message says why."""


class Form(StrEnum):
    """How a value is written in CEL."""

    TEXT = "text"
    INTEGER = "integer"
    FLOAT = "float"


@dataclass(frozen=True, slots=True)
class Kind:
    """What the dictionary says of an attribute: its tag as in DICOM JSON, its form, whether it has several values."""

    tag: str
    form: Form
    several: bool


def kind_of(keyword: str) -> Kind:
    """What the attribute of a keyword is.

    Raises:
        UnusableAttributeError: no such keyword, or it holds neither text nor numbers.
    """
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise UnusableAttributeError("there is no attribute of this keyword")
    vr = dictionary_VR(tag)
    if vr in _TEXTS:
        form = Form.TEXT
    elif vr in _INTEGERS:
        form = Form.INTEGER
    elif vr in _FLOATS:
        form = Form.FLOAT
    else:
        raise UnusableAttributeError("it holds neither text nor numbers")
    return Kind(f"{tag:08X}", form, dictionary_VM(tag) != "1")


def value_of(kind: Kind, attributes: Mapping[str, Any]) -> celtypes.Value:
    """The attribute's value, or what stands for a missing one."""
    element = attributes.get(kind.tag)
    found = element.get("Value") if isinstance(element, Mapping) else None
    values = found[:MOST_VALUES] if isinstance(found, Sequence) and not isinstance(found, str) else []
    if kind.several:
        return celtypes.ListType([_scalar(kind.form, value) for value in values])
    return _scalar(kind.form, values[0] if values else None)


def _scalar(form: Form, value: Any) -> Scalar:
    match form:
        case Form.TEXT:
            if isinstance(value, Mapping):  # PN (PS3.18 F.2.2): a name has up to three representations
                value = value.get("Alphabetic")
            return celtypes.StringType("" if value is None else str(value))
        case Form.INTEGER | Form.FLOAT:
            number = _number(value)
            # PS3.18 allows a number as text (DS, IS and the 64-bit ones).
            if form is Form.INTEGER and number.is_integer() and abs(number) < 2**63:
                return celtypes.IntType(int(value))
            return celtypes.DoubleType(number)


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return float("nan")
