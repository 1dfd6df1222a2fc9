"""What a header tells of faces: whether pixels can show one at all, and whether somebody said that they show no head.

Only a header that names a part far from the head frees a series; one that says nothing, or something that is not known
here, frees none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Final

from services.anonymise.burned_in.evidence import text_of
from services.anonymise.burned_in.picture import RECOGNIZABLE_VISUAL_FEATURES
from services.anonymise.engine.elements import PIXELS, Element, File, items_of
from services.anonymise.engine.kinds import Kind, kind_of

_SOP_CLASS_UID, _BODY_PART, _REGIONS, _CODE_VALUE = 0x00080016, 0x00180015, 0x00082218, 0x00080100
_SHARED, _BY_FRAME, _FRAME_ANATOMY = 0x52009229, 0x52009230, 0x00209071
_SHAPES: Final = frozenset((Kind.SURFACES, Kind.RADIOTHERAPY, Kind.PARAMETRIC_MAPS, Kind.SEGMENTATIONS, Kind.DOCUMENTS))
"""These may hold the shape of a skin without pixels that a person could be shown."""
_CT: Final = frozenset(f"1.2.840.10008.5.1.4.1.1.{tail}" for tail in ("2", "2.1", "2.2"))
_MR: Final = frozenset(f"1.2.840.10008.5.1.4.1.1.{tail}" for tail in ("4", "4.1", "4.4"))

_FAR = (
    "ABDOMEN ABDOMENPELVIS ADRENAL ANKLE ANUS APPENDIX BILEDUCT BLADDER BREAST BUTTOCK CALCANEUS CALF CHEST "
    "CHESTABDOMEN CHESTABDPELVIS COCCYX COLON DUODENUM ELBOW EXTREMITY FEMUR FINGER FOOT FOREARM GALLBLADDER "
    "GROIN HAND HEART HIP HUMERUS ILEUM ILIUM JEJUNUM KIDNEY KNEE LEG LIVER LSPINE LUNG MEDIASTINUM OVARY "
    "PANCREAS PATELLA PELVIS PENIS PROSTATE RECTUM SACRUM SCROTUM SPLEEN SSPINE STERNUM STOMACH TESTIS THIGH "
    "THUMB TOE URETER URETHRA WRIST"
)
FAR_PARTS: Final = frozenset(_FAR.split())
"""Defined terms of Body Part Examined (PS3.16 Annex L) of what shows no head; none that reaches up to one."""
FAR_CODES: Final = frozenset(
    (
        *("818981001", "818982008", "76752008", "816094009", "416550000", "416775004", "71854001", "56459004"),
        *("85562004", "80891009", "29836001", "64033007", "72696002", "30021000", "10200004", "122496007"),
        *("39607008", "15776009", "816092008", "41216001", "68367000"),
    )
)
"""Some of their codes (SNOMED CT, the same annex): abdomen, abdomen and pelvis, breast, chest, chest and abdomen, chest
abdomen and pelvis, colon, foot, hand, heart, hip, kidney, knee, lower leg, liver, lumbar spine, lung, pancreas, pelvis,
prostate, thigh."""


class Shows(StrEnum):
    """What an instance can show of a face."""

    NOTHING = "nothing"
    VOLUME = "volume"
    """It may be a slice of a head: of CT or MR, which a face can be removed from."""
    PICTURE = "picture"
    """It may be a picture of a face, which only a person can tell."""
    SHAPE = "shape"
    """It may hold the shape of one, and cannot be shown to a person here."""


def shows(file: File) -> Shows:
    """What an instance can show of a face."""
    root = {element.tag: element for element in file.elements}
    sop_class = text_of(root.get(_SOP_CLASS_UID))
    kind = kind_of(sop_class)
    pixels = bool(PIXELS & root.keys())
    if (not pixels and kind not in _SHAPES) or _is_far(root):
        return Shows.NOTHING
    if 0x7FE00010 not in root or kind in (Kind.SURFACES, Kind.DOCUMENTS):
        return Shows.SHAPE
    return Shows.VOLUME if sop_class in _CT | _MR else Shows.PICTURE


def is_ct(file: File) -> bool:
    """Whether its values are Hounsfield units."""
    return any(element.tag == _SOP_CLASS_UID and text_of(element) in _CT for element in file.elements)


def _is_far(root: dict[int, Element]) -> bool:
    if text_of(root.get(RECOGNIZABLE_VISUAL_FEATURES)).upper() == "YES":
        return False
    part = text_of(root.get(_BODY_PART)).upper()
    codes = list(_codes(root))
    said = ([part in FAR_PARTS] if part else []) + [code in FAR_CODES for code in codes]
    return bool(said) and all(said)


def _codes(root: dict[int, Element]) -> Iterator[str]:
    """Of the anatomic regions of an instance and of its frames (PS3.3 C.7.6.16.2.8)."""
    groups = [item for tag in (_SHARED, _BY_FRAME) for item in _items(root.get(tag))]
    anatomies = [anatomy for group in groups for anatomy in _items(_in(group, _FRAME_ANATOMY))]
    for item in (*_items(root.get(_REGIONS)), *(one for each in anatomies for one in _items(_in(each, _REGIONS)))):
        yield text_of(_in(item, _CODE_VALUE))


def _items(element: Element | None) -> Sequence[list[Element]]:
    return (items_of(element) or ()) if element is not None else ()


def _in(item: list[Element], tag: int) -> Element | None:
    return next((element for element in item if element.tag == tag), None)
