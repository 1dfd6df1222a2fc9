"""What a header tells of text in the pixels."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, Sequence

from services.anonymise.burned_in.devices import DeviceRule, Rule
from services.anonymise.burned_in.evidence import Evidence, evidence_of
from services.anonymise.burned_in.model import Box, Ground
from services.anonymise.engine.elements import read_file
from tests.unit.anonymise.burned_in.made import CT, SECONDARY, US, instance
from tests.unit.anonymise.planted import ct, element, part10

GREY = np.zeros((60, 100), np.uint8)
SLIDE, SEGMENTATION = "1.2.840.10008.5.1.4.1.1.77.1.6", "1.2.840.10008.5.1.4.1.1.66.4"


def evidence(*rules: DeviceRule, sop_class: str = CT, asked: bool = False, **more: Any) -> Evidence:
    return evidence_of(read_file(instance(GREY, sop_class=sop_class, **more)), rules, asked=asked)


def rule(action: Rule, *masks: Box, **more: str) -> DeviceRule:
    device = {"manufacturer": "Acme*", "model": "One", "software": "", "modality": "", **more}
    return DeviceRule(**device, rows=60, columns=0, action=action, masks=masks)


def regions(*places: tuple[int, int, int, int]) -> Sequence:
    made = []
    for left, top, right, bottom in places:
        item = Dataset()
        item.RegionLocationMinX0, item.RegionLocationMinY0 = left, top
        item.RegionLocationMaxX1, item.RegionLocationMaxY1 = right, bottom
        made.append(item)
    return Sequence(made)


@pytest.mark.parametrize("burned_in", ["", "NO"])
def test_original_slices_are_not_looked_at(burned_in: str) -> None:
    for kind in ("2", "4", "128", "20"):
        found = evidence(
            sop_class=f"1.2.840.10008.5.1.4.1.1.{kind}",
            ImageType=["ORIGINAL", "PRIMARY", "AXIAL"],
            BurnedInAnnotation=burned_in,
        )
        assert found == Evidence()


@pytest.mark.parametrize(
    "image_type", [[], ["DERIVED", "SECONDARY"], ["ORIGINAL", "PRIMARY", "LOCALIZER"], ["DERIVED", "PRIMARY", "AXIAL"]]
)
def test_slices_that_are_not_original_or_name_a_localizer_are_looked_at(image_type: list[str]) -> None:
    assert evidence(ImageType=image_type).grounds == (Ground.IMAGE_TYPE,)


def test_what_says_to_be_burned_in_is_looked_at_whatever_else_it_says() -> None:
    for said in ("YES", "yes", "MAYBE"):
        found = evidence(rule(Rule.CLEAN), ImageType=["ORIGINAL", "PRIMARY"], BurnedInAnnotation=said)
        assert found.grounds == (Ground.SAID,)


def test_pictures_are_looked_at_also_when_they_say_that_nothing_is_burned_in() -> None:
    for sop_class in (SECONDARY, US, "1.2.840.10008.5.1.4.1.1.1.1", "1.2.840.10008.5.1.4.1.1.77.1.4"):
        assert Ground.KIND in evidence(sop_class=sop_class, BurnedInAnnotation="NO").grounds


def test_colour_in_a_slice_is_looked_at() -> None:
    coloured = instance(np.zeros((9, 9, 3), np.uint8), sop_class=CT, ImageType=["ORIGINAL", "PRIMARY", "AXIAL"])
    assert evidence_of(read_file(coloured), ()).grounds == (Ground.COLOUR,)


def test_scans_and_labels_of_slides_are_for_a_person() -> None:
    for conversion in ("SD", "DF", "SI"):
        assert Ground.SCANNED in evidence(sop_class=SECONDARY, ConversionType=conversion).grounds
    for image_type in (["ORIGINAL", "PRIMARY", "LABEL", "NONE"], ["ORIGINAL", "PRIMARY", "OVERVIEW", "NONE"]):
        assert Ground.SCANNED in evidence(sop_class=SLIDE, ImageType=image_type).grounds
    volume = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    assert evidence(sop_class=SLIDE, ImageType=volume).grounds == ()
    assert evidence(sop_class=SLIDE, ImageType=volume, SpecimenLabelInImage="YES").grounds == (Ground.SCANNED,)


def test_labels_and_numbers_are_no_pictures() -> None:
    assert evidence(sop_class=SEGMENTATION) == Evidence()


def test_a_profile_that_asks_for_clean_pixels_has_every_picture_looked_at() -> None:
    assert evidence(asked=True, ImageType=["ORIGINAL", "PRIMARY", "AXIAL"]).grounds == (Ground.ASKED,)


def test_outside_of_ultrasound_regions_all_is_masked() -> None:
    found = evidence(sop_class=US, SequenceOfUltrasoundRegions=regions((10, 20, 49, 39), (40, 30, 89, 54)))
    kept = np.ones((60, 100), bool)
    for box in found.masks:
        kept[box.y : box.y + box.height, box.x : box.x + box.width] = False
    wanted = np.zeros((60, 100), bool)
    wanted[20:40, 10:50] = wanted[30:55, 40:90] = True
    assert np.array_equal(kept, wanted)
    assert Ground.REGIONS in found.grounds


def test_regions_that_do_not_lie_in_the_picture_tell_nothing() -> None:
    found = evidence(sop_class=US, SequenceOfUltrasoundRegions=regions((84, 31, 595, 414)))
    assert found == Evidence((Ground.KIND,))


def test_a_device_rule_masks_and_another_frees_from_the_look() -> None:
    acme: dict[str, Any] = {"Manufacturer": "ACME Ultrasound", "ManufacturerModelName": "One"}
    masks = rule(Rule.MASK, Box(0, 0, 100, 8), Box(-10, -5, 10, 5))
    found = evidence(masks, sop_class=US, **acme)
    assert found.masks == (Box(0, 0, 100, 8), Box(90, 55, 10, 5))
    assert found.grounds == (Ground.KIND, Ground.DEVICE)
    assert evidence(rule(Rule.CLEAN), sop_class=US, **acme) == Evidence()
    assert evidence(rule(Rule.CLEAN), sop_class=US, ConversionType="SD", **acme).grounds != ()
    assert evidence(rule(Rule.CLEAN, model="Two"), sop_class=US, **acme).grounds == (Ground.KIND,)


def test_a_device_rule_alone_makes_a_slice_looked_at() -> None:
    original: dict[str, Any] = {
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "Manufacturer": "Acme",
        "ManufacturerModelName": "One",
    }
    found = evidence(rule(Rule.MASK, Box(0, 0, 9, 9)), **original)
    assert found.grounds == (Ground.DEVICE,) and found.masks


def test_big_endian_numbers_are_read_as_such() -> None:
    item = b"".join(
        element(tag, "UL", struct.pack(">L", value), order=">")
        for tag, value in ((0x00186018, 1), (0x0018601A, 2), (0x0018601C, 5), (0x0018601E, 6))
    )
    head = struct.pack(">HHL", 0xFFFE, 0xE000, len(item))
    planted = element(0x00186011, "SQ", head + item, order=">")
    file = read_file(part10(ct(planted, order=">"), syntax="1.2.840.10008.1.2.2"))
    assert evidence_of(file, ()).masks[0] == Box(0, 0, 8, 2)
