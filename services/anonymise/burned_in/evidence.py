"""What a header tells of text in the pixels: whether to look for it, and what to mask whether it is found or not.

Original slices of a scanner are let through without a look, unless something marks them: their pixels are computed from
signals, and nobody writes on them. All else that shows pixels is looked at. A header that says NO to Burned In
Annotation frees no picture from that: it is written by the same device that burns the text in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from services.anonymise.burned_in.devices import Device, DeviceRule, Rule, rule_for
from services.anonymise.burned_in.model import Box, Ground
from services.anonymise.engine.elements import Element, File, items_of
from services.anonymise.engine.kinds import Kind, kind_of

_SOP_CLASS_UID, _IMAGE_TYPE, _MODALITY, _CONVERSION_TYPE = 0x00080016, 0x00080008, 0x00080060, 0x00080064
_MANUFACTURER, _MODEL, _SOFTWARE = 0x00080070, 0x00081090, 0x00181020
_SECONDARY_CAPTURE_DEVICE = (0x00181010, 0x00181012, 0x00181016, 0x00181018, 0x00181019)
_ULTRASOUND_REGIONS = 0x00186011
_REGION_PLACE = (0x00186018, 0x0018601A, 0x0018601C, 0x0018601E)
_PHOTOMETRIC_INTERPRETATION, _ROWS, _COLUMNS = 0x00280004, 0x00280010, 0x00280011
_BURNED_IN_ANNOTATION = 0x00280301
_SPECIMEN_LABEL_IN_IMAGE = 0x00480010

_WHOLE_SLIDE: Final = "1.2.840.10008.5.1.4.1.1.77.1.6"
_SHOWN: Final = (Kind.IMAGE_VOLUMES, Kind.PICTURES)
"""The kinds whose pixels people look at; those of segmentations, maps and doses are labels and numbers."""
_MARKING: Final = frozenset(
    ("LOCALIZER", "SECONDARY", "SCREEN", "SCREEN SAVE", "SCREENSAVE", "SAVE", "REPORT", "CAPTURE")
)
"""Values of Image Type that name pictures which are drawn on (PS3.3 C.7.6.1.1.2, and what devices write)."""
_SCANNED: Final = frozenset(("DF", "SD", "SI"))
"""Conversion Type: digitized film, scanned document, scanned image (PS3.3 C.8.6.1)."""
_SLIDE_LABEL: Final = frozenset(("LABEL", "OVERVIEW"))
"""Image Type of a slide's label, and of the whole slide, which shows the label (PS3.3 C.8.12.4.1.1)."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a header tells.

    Attributes:
        grounds: why the picture is looked at; none: it may pass as it is.
        masks: what is masked in every frame in any case.
    """

    grounds: tuple[Ground, ...] = ()
    masks: tuple[Box, ...] = ()


def evidence_of(file: File, rules: Sequence[DeviceRule], *, asked: bool = False) -> Evidence:
    """What the header of an instance tells.

    Args:
        rules: of devices.
        asked: the profile asks for clean pixels, so that every picture is looked at.
    """
    root = {element.tag: element for element in file.elements}
    kind = kind_of(text_of(root.get(_SOP_CLASS_UID)))
    device = _device(root)
    rule = rule_for(device, rules)
    said = text_of(root.get(_BURNED_IN_ANNOTATION)).upper() not in ("", "NO")
    if kind not in _SHOWN:
        return Evidence((Ground.SAID,)) if said else Evidence()
    grounds = list(_grounds(root, kind)) + [Ground.ASKED] * asked
    if said:
        grounds.insert(0, Ground.SAID)
    elif rule is not None and rule.action is Rule.CLEAN and Ground.SCANNED not in grounds:
        return Evidence()
    masks: tuple[Box, ...] = ()
    if rule is not None and rule.action is Rule.MASK:
        masks += rule.placed(device)
        grounds.append(Ground.DEVICE)
    outside = _outside_of_regions(root, device)
    if outside:
        masks += outside
        grounds.append(Ground.REGIONS)
    return Evidence(tuple(grounds), masks)


def _grounds(root: Mapping[int, Element], kind: Kind) -> list[Ground]:
    values = [value.strip().upper() for value in text_of(root.get(_IMAGE_TYPE)).split("\\")]
    slide = text_of(root.get(_SOP_CLASS_UID)) == _WHOLE_SLIDE
    found = []
    if text_of(root.get(_CONVERSION_TYPE)).upper() in _SCANNED or (
        slide and (not _SLIDE_LABEL.isdisjoint(values) or text_of(root.get(_SPECIMEN_LABEL_IN_IMAGE)).upper() == "YES")
    ):
        found.append(Ground.SCANNED)
    original = values[:2] == ["ORIGINAL", "PRIMARY"] and _MARKING.isdisjoint(values)
    if slide:
        # Tiles of tissue under a microscope; PS3.3 C.8.12.4.1.1: no part of the label is in them.
        return found if "VOLUME" in values else [*found, Ground.KIND]
    if kind is Kind.PICTURES or any(tag in root for tag in _SECONDARY_CAPTURE_DEVICE):
        found.append(Ground.KIND)
    elif not original:
        found.append(Ground.IMAGE_TYPE)
    elif not text_of(root.get(_PHOTOMETRIC_INTERPRETATION)).startswith("MONOCHROME"):
        found.append(Ground.COLOUR)
    return found


def _device(root: Mapping[int, Element]) -> Device:
    return Device(
        text_of(root.get(_MANUFACTURER)),
        text_of(root.get(_MODEL)),
        text_of(root.get(_SOFTWARE)),
        text_of(root.get(_MODALITY)),
        number_of(root.get(_ROWS)),
        number_of(root.get(_COLUMNS)),
    )


def _outside_of_regions(root: Mapping[int, Element], device: Device) -> tuple[Box, ...]:
    """What no ultrasound region covers (PS3.3 C.8.5.5), in bands between the rows where a region begins or ends."""
    element = root.get(_ULTRASOUND_REGIONS)
    regions = [region for item in (items_of(element) if element else None) or () if (region := _region(item))]
    if not regions or any(r.x + r.width > device.columns + 1 or r.y + r.height > device.rows + 1 for r in regions):
        return ()  # the picture was cut or made smaller after they were named: they tell nothing any more
    edges = sorted({0, device.rows, *(min(y, device.rows) for r in regions for y in (r.y, r.y + r.height))})
    outside = []
    for top, bottom in pairwise(edges):
        left = 0
        for region in sorted(r for r in regions if r.y <= top and r.y + r.height >= bottom):
            if region.x > left:
                outside.append(Box(left, top, region.x - left, bottom - top))
            left = max(left, region.x + region.width)
        if left < device.columns:
            outside.append(Box(left, top, device.columns - left, bottom - top))
    return tuple(outside)


def _region(item: Sequence[Element]) -> Box | None:
    places = {element.tag: element for element in item}
    left, top, right, bottom = (number_of(places.get(tag)) for tag in _REGION_PLACE)
    return Box(left, top, right - left + 1, bottom - top + 1) if right > left and bottom > top else None


def text_of(element: Element | None) -> str:
    """A value as text."""
    return bytes(element.value).strip(b"\0 ").decode("latin-1") if element is not None else ""


def number_of(element: Element | None) -> int:
    """A value of VR US or UL; 0 for none."""
    if element is None or len(element.value) not in (2, 4):
        return 0
    return int.from_bytes(bytes(element.value), "little" if element.coding.order == "<" else "big")
