"""An archive's worth of metadata: names in several scripts, studies of ten years, no pixels. A seed makes the same."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

from services.dicom.dicom_json import dumps
from services.dicom.uids import derived_uid
from services.store.model import Entry

INSTANCES_A_STUDY: Final = 10


def _cut(text: str) -> tuple[str, ...]:
    return tuple(text[at : at + 3] for at in range(0, len(text), 3))


_TODAY: Final = date(2024, 6, 30)
_TEN_YEARS: Final = 3652
_SYLLABLES: Final = _cut("anberdelfangorhanjokkelmarnovostparquirossantortulverwinxanyarzen")
_CYRILLIC: Final = _cut("анабергореданжурзинивоколленмарникороперогсертарульфедхарчершум")
_CJK: Final = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗山田中村小川上野木本佐藤鈴高橋渡辺伊"
_KANA: Final = "あいうえおかきくけこさしすせそたちつてとなにぬねのまみむめもやゆよ"
_ARABIC: Final = ["احمد", "محمد", "علي", "حسن", "فاطمة", "مريم", "يوسف", "ابراهيم", "خالد", "سعيد", "نور", "ليلى"]
_ACCENTS: Final = str.maketrans({"a": "á", "e": "é", "o": "ö", "u": "ü"})
_MODALITIES: Final = {
    "CT": ("1.2.840.10008.5.1.4.1.1.2", 34),
    "MR": ("1.2.840.10008.5.1.4.1.1.4", 22),
    "DX": ("1.2.840.10008.5.1.4.1.1.1.1", 18),
    "US": ("1.2.840.10008.5.1.4.1.1.3.1", 12),
    "MG": ("1.2.840.10008.5.1.4.1.1.1.2", 8),
    "PT": ("1.2.840.10008.5.1.4.1.1.128", 4),
    "XA": ("1.2.840.10008.5.1.4.1.1.12.1", 2),
}
_PARTS: Final = ("CHEST", "ABDOMEN", "HEAD", "PELVIS", "KNEE", "SPINE", "BREAST", "NECK", "HEART", "LIVER", "HAND")
_WORDS: Final = ("native", "with contrast", "follow-up", "screening", "low dose", "angiography", "biopsy", "post-op")


@dataclass(frozen=True, slots=True)
class Study:
    """A study: entries of its instances, series after series."""

    entries: tuple[Entry, ...]

    def text(self, tag: str) -> str:
        """An attribute's first value; of a name, its alphabetic group."""
        value = self.entries[0].attributes[tag]["Value"][0]
        return str(value["Alphabetic"]) if isinstance(value, dict) else str(value)


def studies(count: int, *, seed: str = "scale", first: int = 0) -> Iterator[Study]:
    """Makes so many studies, of ten instances each; `first` counts on from an earlier call with the same seed."""
    for number in range(first, first + count):
        yield _study(random.Random(f"{seed} {number}"), f"{seed}.{number}")


def _study(chance: random.Random, name: str) -> Study:
    uid = derived_uid(name)
    modality = chance.choices(list(_MODALITIES), [weight for _, weight in _MODALITIES.values()])[0]
    part = chance.choice(_PARTS)
    # Archives grow: more studies are young than old.
    age = int(_TEN_YEARS * chance.random() ** 2)
    day = (_TODAY - timedelta(days=age)).strftime("%Y%m%d")
    clock = f"{chance.randrange(7, 19):02}{chance.randrange(60):02}{chance.randrange(60):02}"
    about: dict[str, Any] = {
        "00080005": _element("CS", "ISO_IR 192"),
        "00080020": _element("DA", day),
        "00080030": _element("TM", clock),
        "00080050": _element("SH", f"A{chance.randrange(10**9):09}"),
        "00080080": _element("LO", f"Hospital {chance.choice(_SYLLABLES).title()}{chance.randrange(20)}"),
        "00080090": _element("PN", {"Alphabetic": _latin(chance)}),
        "00081030": _element("LO", f"{modality} {part.title()} {chance.choice(_WORDS)}"),
        "00100010": _element("PN", _person(chance)),
        "00100020": _element("LO", f"PH{chance.randrange(10**7):07}"),
        "00100030": _element("DA", (_TODAY - timedelta(days=chance.randrange(36500))).strftime("%Y%m%d")),
        "00100040": _element("CS", chance.choices("FMO", (510, 488, 2))[0]),
        "00101010": _element("AS", f"{chance.randrange(100):03}Y"),
        "0020000D": _element("UI", uid),
        "00200010": _element("SH", f"S{chance.randrange(10**6)}"),
    }
    entries: list[Entry] = []
    series = chance.choice((1, 2, 2, 3, 4))
    for number in range(1, series + 1):
        of_series = about | _series(chance, uid, number, modality, part, day, clock)
        count = INSTANCES_A_STUDY // series + (number <= INSTANCES_A_STUDY % series)
        entries += (_instance(of_series, modality, at) for at in range(1, count + 1))
    return Study(tuple(entries))


def _series(
    chance: random.Random, study: str, number: int, modality: str, part: str, day: str, clock: str
) -> dict[str, Any]:
    request = {
        "00400009": _element("SH", f"SPS{chance.randrange(10**6)}"),
        "00401001": _element("SH", f"RP{chance.randrange(10**6)}"),
    }
    return {
        "00080021": _element("DA", day),
        "00080060": _element("CS", modality),
        "00080070": _element("LO", chance.choice(("Acme", "Borealis", "Cygnus"))),
        "0008103E": _element("LO", f"{part.lower()} {chance.choice(_WORDS)} {chance.choice(('axial', 'coronal'))}"),
        "00180015": _element("CS", part),
        "0020000E": _element("UI", derived_uid(study, str(number))),
        "00200011": _element("IS", number),
        "00400244": _element("DA", day),
        "00400245": _element("TM", clock),
        "00400275": {"vr": "SQ", "Value": [request]},
    }


def _instance(of_series: dict[str, Any], modality: str, number: int) -> Entry:
    study, series = (str(of_series[tag]["Value"][0]) for tag in ("0020000D", "0020000E"))
    uid, sop_class = derived_uid(series, str(number)), _MODALITIES[modality][0]
    attributes = of_series | {
        "00080016": _element("UI", sop_class),
        "00080018": _element("UI", uid),
        "00200013": _element("IS", number),
        "00280010": _element("US", 512),
        "00280011": _element("US", 512),
        "00280100": _element("US", 16),
    }
    syntax = "1.2.840.10008.1.2.1"
    digest = f"{int(uid.removeprefix('2.25.')):064x}"
    return Entry(study, series, uid, sop_class, syntax, digest, 526_336, dumps(attributes), b"", attributes)


def _element(vr: str, value: object) -> dict[str, Any]:
    return {"vr": vr, "Value": [value]}


def _person(chance: random.Random) -> dict[str, str]:
    match chance.choices(("latin", "accents", "cyrillic", "chinese", "japanese", "arabic"), (50, 15, 12, 10, 8, 5))[0]:
        case "accents":
            return {"Alphabetic": _latin(chance).translate(_ACCENTS)}
        case "cyrillic":
            return {"Alphabetic": f"{_made(chance, _CYRILLIC)}^{_made(chance, _CYRILLIC)}"}
        case "chinese":
            return {"Alphabetic": _latin(chance), "Ideographic": f"{chance.choice(_CJK)}^{_some(chance, _CJK)}"}
        case "japanese":
            named = {"Ideographic": _pair(chance, _CJK), "Phonetic": _pair(chance, _KANA)}
            return {"Alphabetic": _latin(chance), **named}
        case "arabic":
            return {"Alphabetic": f"{chance.choice(_ARABIC)}^{chance.choice(_ARABIC)} {chance.choice(_ARABIC)}"}
        case _:
            return {"Alphabetic": _latin(chance)}


def _latin(chance: random.Random) -> str:
    return f"{_made(chance, _SYLLABLES)}^{_made(chance, _SYLLABLES)}"


def _made(chance: random.Random, syllables: Sequence[str]) -> str:
    return "".join(chance.choices(syllables, k=chance.choice((2, 3)))).title()


def _some(chance: random.Random, characters: str) -> str:
    return "".join(chance.choices(characters, k=2))


def _pair(chance: random.Random, characters: str) -> str:
    return f"{_some(chance, characters)}^{_some(chance, characters)}"
