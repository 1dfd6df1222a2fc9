"""Makes the two tables of this folder from public packages; run by hand when the standard's edition changes.

    python services/anonymise/profiles/build_tables.py DICOM_ANONYMIZER_WHEEL DICOM_STANDARD_WHEEL

How each column comes about, and what it is worth, is in README.md beside this file. Nothing imports this module.
"""

import ast
import csv
import json
import re
import sys
import zipfile
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path

from pydicom.datadict import keyword_for_tag, tag_for_keyword

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
PRIVATE_ROW = ("gggggggg", "PrivateAttributes", "X")

# The image IODs that this issue lets through (admission.py), with their SOP Classes.
IODS = (
    "ct-image",
    "enhanced-ct-image",
    "legacy-converted-enhanced-ct-image",
    "mr-image",
    "enhanced-mr-image",
    "legacy-converted-enhanced-mr-image",
    "positron-emission-tomography-image",
    "enhanced-pet-image",
    "legacy-converted-enhanced-pet-image",
    "nuclear-medicine-image",
    "x-ray-3d-angiographic-image",
    "x-ray-3d-craniofacial-image",
    "breast-tomosynthesis-image",
)
STRICTNESS = ("1", "1C", "2", "2C", "3")


def main(basic_wheel: Path, options_wheel: Path) -> None:
    """Writes both tables beside this file."""
    basic = sorted(basic_rows(basic_wheel))
    options = option_rows(options_wheel)
    with (HERE / "ps3.15-2026c-table-e1-1.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["tag", "keyword", "basic", *OPTIONS.values(), "options_edition"])
        for tag, keyword, action in basic:
            found = options.get(tag)
            columns = [found.get(name, "") for name in OPTIONS] if found is not None else [""] * len(OPTIONS)
            table.writerow([tag, keyword, action, *columns, "2020" if found is not None else ""])
    compound = {int(tag, 16) for tag, _, action in basic if "/" in action}
    with (HERE / "image-iod-types.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["sop_class_uid", "parent", "tag", "type"])
        table.writerows(type_rows(compound))


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
    """The option columns of the 2020 edition by tag."""
    with zipfile.ZipFile(wheel) as archive:
        rows = json.loads(archive.read(OPTIONS_FILE))
    return {"gggggggg" if row["id"].startswith("gggg") else row["id"].lower(): row for row in rows}


def type_rows(compound: set[int]) -> Iterator[tuple[str, str, str, str]]:
    """The strictest type that an IOD gives to an attribute with a compound action, by the sequence it lies in."""
    standard = resources.files("highdicom") / "_standard"
    sop_classes = json.loads((standard / "sop_class_iod_map.json").read_text())
    modules_of = json.loads((standard / "iod_module_map.json").read_text())
    attributes_of = json.loads((standard / "module_attribute_map.json").read_text())
    for sop_class_uid, iod in sorted(sop_classes.items()):
        if iod not in IODS:
            continue
        strictest: dict[tuple[str, str], str] = {}
        for module in modules_of[iod]:
            for attribute in attributes_of[module["key"]]:
                tag = tag_for_keyword(attribute["keyword"])
                if tag is None or tag not in compound:
                    continue
                parent = tag_for_keyword(attribute["path"][-1]) if attribute["path"] else 0
                key = (f"{parent or 0:08x}" if attribute["path"] else "", f"{tag:08x}")
                strictest[key] = min(strictest.get(key, "3"), attribute["type"], key=STRICTNESS.index)
        for (parent_tag, tag_text), kind in sorted(strictest.items()):
            if kind != "3":
                yield sop_class_uid, parent_tag, tag_text, kind


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
