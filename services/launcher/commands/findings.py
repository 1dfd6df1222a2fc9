"""Findings of a structured report: the measurement groups of TID 1500 (PS3.16), read with pydicom alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

from pydicom import Dataset, dcmread

_MEASUREMENT_GROUP = "125007"  # DCM
_FINDING = "121071"  # DCM
_FINDING_SITE = "363698007"  # SCT
_TRACKING_IDENTIFIER = "112039"  # DCM


@dataclass(frozen=True, slots=True)
class Measurement:
    """A number with its unit (UCUM)."""

    name: str
    value: float
    unit: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One measurement group: what was measured, and the measurements."""

    label: str
    measurements: tuple[Measurement, ...]


def read(file: bytes) -> list[Finding]:
    """The findings of an SR instance given as a DICOM file."""
    ds = dcmread(BytesIO(file))
    return [_finding(group) for group in _items(ds) if _is(group, _MEASUREMENT_GROUP)]


def _finding(group: Dataset) -> Finding:
    labels = {}
    measurements = []
    for item in group.get("ContentSequence", ()):
        name = item.ConceptNameCodeSequence[0]
        match item.ValueType:
            case "TEXT":
                labels[name.CodeValue] = str(item.TextValue)
            case "CODE":
                labels[name.CodeValue] = str(item.ConceptCodeSequence[0].CodeMeaning)
            case "NUM" if item.get("MeasuredValueSequence"):
                value = item.MeasuredValueSequence[0]
                unit = value.MeasurementUnitsCodeSequence[0].CodeValue
                measurements.append(Measurement(str(name.CodeMeaning), float(value.NumericValue), str(unit)))
            case _:
                pass
    wanted = (_FINDING_SITE, _FINDING, _TRACKING_IDENTIFIER)
    label = next((labels[code] for code in wanted if code in labels), "?")
    return Finding(label, tuple(measurements))


def _items(parent: Dataset) -> Iterator[Dataset]:
    for item in parent.get("ContentSequence", ()):
        yield item
        yield from _items(item)


def _is(item: Dataset, code: str) -> bool:
    name = item.get("ConceptNameCodeSequence")
    return bool(name) and name[0].get("CodeValue") == code
