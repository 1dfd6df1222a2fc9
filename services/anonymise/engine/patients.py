"""Who the patient of an instance is, however the identifier was typed: what pseudonyms and shifts are made from."""

from __future__ import annotations

import re
import unicodedata

from services.anonymise.engine.elements import Element
from services.dicom.charsets import CharacterSet, character_set

PATIENT_ID = 0x00100020
_PATIENT_NAME, _BIRTH_DATE = 0x00100010, 0x00100030
CHARACTER_SET = 0x00080005
_STUDY_INSTANCE_UID = 0x0020000D
_MOST = 1024


def root_values(elements: list[Element]) -> dict[int, bytes]:
    """The short values of a data set by tag."""
    return {element.tag: bytes(element.value) for element in elements if len(element.value) <= _MOST}


def charset_of(root: dict[int, bytes]) -> CharacterSet:
    """How texts of a data set are decoded."""
    terms = root.get(CHARACTER_SET, b"").decode("ascii", "replace").rstrip("\0 ")
    return character_set(terms.split("\\") if terms else [])


def normalised(text: str) -> str:
    """An identifier without what typists add: case, width of letters, blanks before, behind and within."""
    return " ".join(unicodedata.normalize("NFKC", text).replace("\0", " ").split()).casefold()


def patient_of(root: dict[int, bytes], charset: CharacterSet) -> str:
    """What tells this patient from others: the Patient ID; without one, name and birth date; without those, the study.

    Patients without an ID must not become one patient.
    """
    if identifier := normalised(charset.decode(root.get(PATIENT_ID, b""))):
        return identifier
    name = normalised(_plain_name(charset.decode(root.get(_PATIENT_NAME, b""))))
    born = re.sub(r"\D", "", root.get(_BIRTH_DATE, b"").decode("ascii", "replace"))
    if name and born:
        return f"name {name} born {born}"
    return f"study {root.get(_STUDY_INSTANCE_UID, b'').decode('latin-1').strip(chr(0) + ' ')}"


def name_words(text: str) -> set[str]:
    """The parts of a person's name, in lower case."""
    return {part for part in re.split(r"[\W\d_]+", normalised(text)) if len(part) > 1}


def _plain_name(name: str) -> str:
    """A name's first representation, its components without the empty ones at the end (PS3.5 6.2.1)."""
    return "^".join(part.strip() for part in name.partition("=")[0].split("^")).rstrip("^")
