"""Which instances may show a face: all but those that say themselves to be of a part far from the head."""

from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from services.anonymise.defacing.region import Shows, shows
from services.anonymise.engine.elements import read_file
from tests.unit.anonymise.burned_in.made import instance
from tests.unit.anonymise.defacing.heads import CT, MR

PIXELS = np.zeros((8, 8), np.uint16)


def seen(sop_class: str = CT, **more: Any) -> Shows:
    return shows(read_file(instance(PIXELS, sop_class=sop_class, **more)))


def region(*codes: str) -> dict[str, Any]:
    items = [Dataset() for _ in codes]
    for item, code in zip(items, codes, strict=True):
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code, "SCT", "a part"
    return {"AnatomicRegionSequence": items}


@pytest.mark.parametrize("part", ["", "HEAD", "BRAIN", "NECK", "WHOLEBODY", "CSPINE", "BODY", "chest and head"])
@pytest.mark.parametrize("sop_class", [CT, MR])
def test_a_slice_of_a_head_of_a_neck_or_of_who_knows_what_may_show_a_face(part: str, sop_class: str) -> None:
    assert seen(sop_class, BodyPartExamined=part) is Shows.VOLUME


@pytest.mark.parametrize("part", ["CHEST", "abdomen ", "KNEE"])
def test_a_slice_of_another_part_does_not(part: str) -> None:
    assert seen(BodyPartExamined=part) is Shows.NOTHING


def test_codes_say_the_same_and_all_that_is_said_has_to_agree() -> None:
    assert seen(**region("816094009")) is Shows.NOTHING
    assert seen(**region("816094009", "818981001")) is Shows.NOTHING
    assert seen(**region("816094009", "69536005")) is Shows.VOLUME
    assert seen(BodyPartExamined="HEAD", **region("816094009")) is Shows.VOLUME
    assert seen(BodyPartExamined="CHEST", RecognizableVisualFeatures="YES") is Shows.VOLUME


def test_the_regions_of_frames_count_too() -> None:
    group, anatomy = Dataset(), Dataset()
    anatomy.AnatomicRegionSequence = region("816094009")["AnatomicRegionSequence"]
    group.FrameAnatomySequence = [anatomy]
    assert seen(SharedFunctionalGroupsSequence=[group]) is Shows.NOTHING


def test_photographs_captures_and_other_modalities_are_pictures() -> None:
    for tail in ("77.1.4", "7", "1", "128", "66.4"):
        assert seen(f"1.2.840.10008.5.1.4.1.1.{tail}") is Shows.PICTURE


def test_meshes_and_structures_are_shapes_and_texts_show_nothing() -> None:
    for tail in ("66.5", "481.3", "68.1", "104.3"):
        assert shows(read_file(_without_pixels(f"1.2.840.10008.5.1.4.1.1.{tail}"))) is Shows.SHAPE
    assert shows(read_file(_without_pixels("1.2.840.10008.5.1.4.1.1.88.22"))) is Shows.NOTHING


def _without_pixels(sop_class: str) -> bytes:
    whole = instance(PIXELS, sop_class=sop_class)
    return whole[: whole.rindex(b"\xe0\x7f\x10\x00")]
