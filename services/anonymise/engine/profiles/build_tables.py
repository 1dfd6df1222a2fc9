"""Makes the tables of this folder from public packages; run by hand when the standard's edition changes.

    python services/anonymise/engine/profiles/build_tables.py DICOM_ANONYMIZER_WHEEL DICOM_STANDARD_WHEEL

How each column comes about, and what it is worth, is in README.md beside this file. Nothing imports this module.
"""

import ast
import csv
import json
import re
import sys
import zipfile
from collections.abc import Collection, Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from pydicom.datadict import (  # type: ignore[attr-defined]  # there, only not declared
    DicomDictionary,
    dictionary_VR,
    keyword_for_tag,
    tag_for_keyword,
)

HERE = Path(__file__).parent
BASIC_MODULE = "dicomanonymizer/dicom_anonymization_databases/dicomfields_2026c.py"
OPTIONS_FILE = "dicom_standard-0.1.0.data/data/standard/confidentiality_profile_attributes.json"
ACTIONS = {
    "D_TAGS": "D",
    "Z_TAGS": "Z",
    "X_TAGS": "X",
    "U_TAGS": "U",
    "Z_D_TAGS": "Z/D",
    "X_Z_TAGS": "X/Z",
    "X_D_TAGS": "X/D",
    "X_Z_D_TAGS": "X/Z/D",
    "X_Z_U_STAR_TAGS": "X/Z/U*",
}
OPTIONS = {
    "rtnSafePrivOpt": "retain_safe_private",
    "rtnUIDsOpt": "retain_uids",
    "rtnDevIdOpt": "retain_device_identity",
    "rtnInstIdOpt": "retain_institution_identity",
    "rtnPatCharsOpt": "retain_patient_characteristics",
    "rtnLongFullDatesOpt": "retain_longitudinal_full_dates",
    "rtnLongModifDatesOpt": "retain_longitudinal_modified_dates",
    "cleanDescOpt": "clean_descriptors",
    "cleanStructContOpt": "clean_structured_content",
    "cleanGraphOpt": "clean_graphics",
}
# The source spells ranges as (group, element, group mask, element mask) and leaves the private row out.
RANGES = {
    (0x5000, 0x0000): ("50xxxxxx", "CurveData"),
    (0x6000, 0x3000): ("60xx3000", "OverlayData"),
    (0x6000, 0x4000): ("60xx4000", "OverlayComments"),
}
EDITION = "options_edition"
# Their references to what they were made of are optional at the root; without them Referenced Series Sequence names
# instances that nothing refers to, which no reader accepts.
DERIVED_IODS, SOURCE_IMAGE_SEQUENCE = ("parametric-map", "segmentation"), "00082112"
PRIVATE_ROW = ("gggggggg", "PrivateAttributes", "X")

STRICTNESS = ("1", "1C", "2", "2C", "3")
# VRs of which the engine keeps no value even where the table is silent: their type decides what stands in their place.
NATURALLY_IDENTIFYING = ("AE", "AS", "DA", "DT", "OB", "PN", "TM", "UN", "UR")


def main(basic_wheel: Path, options_wheel: Path) -> None:
    """Writes the tables beside this file."""
    basic = sorted(basic_rows(basic_wheel))
    options = option_rows(options_wheel)
    with (HERE / "ps3.15-2026c-table-e1-1.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["tag", "keyword", "basic", *OPTIONS.values(), "options_edition"])
        for tag, keyword, action in basic:
            columns = options.get(tag, {})
            table.writerow([tag, keyword, action, *(columns.get(name, "") for name in (*OPTIONS.values(), EDITION))])
    with (HERE / "beyond-the-table.csv").open(encoding="utf-8") as file:
        beyond = [(row["tag"], row["keyword"], row["basic"]) for row in csv.DictReader(file)]
    listed = {
        int(tag, 16): action for tag, _, action in (*basic, *beyond) if tag.isalnum() and not set(tag) & set("xg")
    }
    wanted = {tag: kinds_that_matter(listed[tag]) for tag in listed}
    wanted.update({tag: STRICTNESS[:4] for tag in DicomDictionary if is_naturally_removed(tag, listed.keys())})
    rows = sorted({*type_rows(wanted), *((iod, "", SOURCE_IMAGE_SEQUENCE, "2") for iod in DERIVED_IODS)})
    with (HERE / "iod-types.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["iod", "parent", "tag", "type"])
        table.writerows(rows)
    with (HERE / "sop-class-iods.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["sop_class_uid", "iod"])
        table.writerows(sorted(standard_json("sop_class_iod_map").items()))


def kinds_that_matter(action: str) -> Collection[str]:
    """The types that decide what an action code means; a plain X or Z gives way to what an IOD always asks for."""
    return STRICTNESS[:4] if "/" in action else ("1", "2") if action == "X" else ("1",) if action == "Z" else ()


def is_naturally_removed(tag: int, listed: Collection[int]) -> bool:
    """Whether the engine takes this attribute out although the table does not name it."""
    vrs = dictionary_VR(tag).split(" or ")
    return tag not in listed and tag >> 16 > 2 and any(vr in NATURALLY_IDENTIFYING for vr in vrs)


def basic_rows(wheel: Path) -> Iterator[tuple[str, str, str]]:
    """Tag, keyword and Basic Profile action of every row of Table E.1-1, from the source's tag lists."""
    with zipfile.ZipFile(wheel) as archive:
        source = archive.read(BASIC_MODULE).decode()
    names = names_in_comments(source)
    for statement in ast.parse(source).body:
        if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Name):
            continue
        action = ACTIONS.get(statement.targets[0].id)
        if action is None:
            continue
        for group, element, *mask in ast.literal_eval(statement.value):
            if mask:
                tag, keyword = RANGES[(group, element)]
            else:
                tag = f"{group:04x}{element:04x}"
                keyword = keyword_for_tag((group, element)) or names[tag]
            yield tag, keyword, action
    yield PRIVATE_ROW


def names_in_comments(source: str) -> dict[str, str]:
    """Keywords made from the attribute names in the comments, for attributes newer than pydicom's dictionary."""
    rows = re.findall(r"\(0x([0-9A-F]{4}), 0x([0-9A-F]{4})\),  # (.+)", source)
    return {
        (group + element).lower(): "".join(
            word[:1].upper() + word[1:] for word in re.split(r"[^A-Za-z0-9]+", name.replace("'s", ""))
        )
        for group, element, name in rows
    }


def option_rows(wheel: Path) -> dict[str, Mapping[str, str]]:
    """The option columns by tag: of the 2020 edition, and over them what later editions added or changed."""
    with zipfile.ZipFile(wheel) as archive:
        rows = json.loads(archive.read(OPTIONS_FILE))
    found: dict[str, Mapping[str, str]] = {
        "gggggggg" if row["id"].startswith("gggg") else row["id"].lower(): {
            **{name: row.get(key, "") for key, name in OPTIONS.items()},
            EDITION: "2020",
        }
        for row in rows
    }
    with (HERE / "option-columns-after-2020.csv").open(encoding="utf-8") as file:
        found.update((row["tag"], row) for row in csv.DictReader(file))
    return found


def type_rows(wanted: Mapping[int, Collection[str]]) -> Iterator[tuple[str, str, str, str]]:
    """The strictest type that an IOD gives to an attribute, by the sequence it lies in."""
    modules_of, attributes_of = standard_json("iod_module_map"), standard_json("module_attribute_map")
    for iod in sorted(set(standard_json("sop_class_iod_map").values())):
        strictest: dict[tuple[str, str], str] = {}
        for module in modules_of.get(iod, ()):
            for attribute in attributes_of.get(module["key"], ()):
                tag = tag_for_keyword(attribute["keyword"])
                if tag is None or tag not in wanted:
                    continue
                parent = tag_for_keyword(attribute["path"][-1]) if attribute["path"] else 0
                key = (f"{parent or 0:08x}" if attribute["path"] else "", f"{tag:08x}")
                strictest[key] = min(strictest.get(key, "3"), attribute["type"], key=STRICTNESS.index)
        for (parent_tag, tag_text), kind in strictest.items():
            if kind in wanted[int(tag_text, 16)]:
                yield iod, parent_tag, tag_text, kind


def standard_json(name: str) -> Any:
    """A table of PS3.3 as highdicom carries it."""
    return json.loads((resources.files("highdicom") / "_standard" / f"{name}.json").read_text())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
