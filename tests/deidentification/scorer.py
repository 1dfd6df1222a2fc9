"""The ten checks of the MIDI evaluations (Medical Image De-Identification), over one file before and after.

What is expected follows from the standard's table and the profile's options alone; nothing of the engine is asked.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from importlib.resources import files

from pydicom.datadict import DicomDictionary  # type: ignore[attr-defined]  # there, only not declared
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import UID_dictionary  # type: ignore[attr-defined]  # as above

from services.anonymise.engine.options import Option

_TABLE = files("services.anonymise.engine") / "profiles" / "ps3.15-2026c-table-e1-1.csv"
TABLE: Mapping[int, Mapping[str, str]] = {
    int(row["tag"], 16): row
    for row in csv.DictReader(_TABLE.read_text(encoding="utf-8").splitlines())
    if "x" not in row["tag"] and "g" not in row["tag"]
}
_BEYOND = files("services.anonymise.engine") / "profiles" / "beyond-the-table.csv"
OURS = {int(line.split(",")[0], 16) for line in _BEYOND.read_text(encoding="utf-8").splitlines()[1:]}
"""What we take out although the standard does not ask for it."""
_CANARY = re.compile(rb"(?i)vogel\d{5}")
_PLAIN = ("CS", "DS", "IS", "FD", "FL", "SL", "SS", "UL", "US", "SQ", "OF", "OD", "OL")
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_IDENTITY = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")


class Check(StrEnum):
    """What is looked at."""

    TAG_RETAINED = "tag_retained"
    TEXT_NOTNULL = "text_notnull"
    TEXT_RETAINED = "text_retained"
    TEXT_REMOVED = "text_removed"
    DATE_SHIFTED = "date_shifted"
    UID_CHANGED = "uid_changed"
    UID_CONSISTENT = "uid_consistent"
    PATID_CONSISTENT = "patid_consistent"
    PIXELS_HIDDEN = "pixels_hidden"
    PIXELS_RETAINED = "pixels_retained"


@dataclass
class Planted:
    """What was put into a file, by attribute of the root.

    Attributes:
        canaries: texts that must not be found; those that an option keeps are in `kept`.
        kept: texts that an option keeps, by tag.
        words: words of medicine that stand beside a canary, by tag; an option that cleans leaves them.
        dates: by tag.
    """

    canaries: set[str] = field(default_factory=set)
    kept: dict[int, str] = field(default_factory=dict)
    words: dict[int, str] = field(default_factory=dict)
    dates: dict[int, date] = field(default_factory=dict)


@dataclass
class Score:
    """How many of the checks passed, over all files; and the places where one did not."""

    options: frozenset[Option]
    passed: Counter[Check] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    uids: dict[str, str] = field(default_factory=dict)
    patients: dict[str, str] = field(default_factory=dict)

    def check(self, check: Check, good: bool, place: str) -> None:
        """Count one."""
        if good:
            self.passed[check] += 1
        else:
            self.failed.append(f"{check} {place}")

    def file(self, name: str, before: FileDataset, after: FileDataset, written: bytes, planted: Planted) -> None:
        """Judge one file."""
        self._structure(name, before, after, str(before.get("PatientID", "")))
        self._texts(name, after, written, planted)
        self._dates(name, after, planted)
        self._identifiers(name, before, after)
        for keyword in _PIXELS:
            if keyword in before:
                self.check(Check.PIXELS_RETAINED, after.get(keyword) == before[keyword].value, name)

    def _structure(self, name: str, before: Dataset, after: Dataset, patient_id: str) -> None:
        """What says nothing of a person stays as it is, at every depth; what must have a value has one."""
        for elem in before:
            tag = int(elem.tag)
            listed = TABLE.get(tag)
            if listed is not None:
                if listed["basic"] == "D" and not elem.is_empty:
                    self.check(Check.TEXT_NOTNULL, tag in after and not after[tag].is_empty, f"{name} {elem.keyword}")
                continue
            if not _is_plain(tag, elem.VR):
                continue
            self.check(Check.TAG_RETAINED, tag in after, f"{name} {elem.keyword}")
            if tag not in after:
                continue
            if elem.VR == "SQ":
                for one, other in zip(elem.value, after[tag].value, strict=True):
                    self._structure(name, one, other, patient_id)
            elif str(elem.value) != patient_id:  # a Series Number that is the Patient ID is taken for what it is
                self.check(Check.TEXT_RETAINED, after[tag].value == elem.value, f"{name} {elem.keyword}")

    def _texts(self, name: str, after: Dataset, written: bytes, planted: Planted) -> None:
        found = {canary.decode().lower() for canary in _CANARY.findall(written)}
        for canary in planted.canaries:
            self.check(Check.TEXT_REMOVED, canary.lower() not in found, f"{name} {canary}")
        for tag, text in {**planted.kept, **planted.words}.items():
            self.check(Check.TEXT_RETAINED, tag in after and str(after[tag].value) == text, f"{name} {tag:08x}")

    def _dates(self, name: str, after: Dataset, planted: Planted) -> None:
        """Moved by one number of days, or gone."""
        moved = {tag: _day(after, tag) for tag in planted.dates}
        if Option.RETAIN_MODIFIED_DATES not in self.options:
            for tag, day in moved.items():
                self.check(Check.DATE_SHIFTED, day != planted.dates[tag], f"{name} {tag:08x}")
            return
        shifts = {(planted.dates[tag] - day).days if day else 0 for tag, day in moved.items()}
        for tag in moved:
            self.check(Check.DATE_SHIFTED, len(shifts) == 1 and min(shifts) > 0, f"{name} {tag:08x}")

    def _identifiers(self, name: str, before: Dataset, after: Dataset) -> None:
        for keyword in _IDENTITY:
            if keyword in before and before[keyword].value:
                one, other = str(before[keyword].value), str(after[keyword].value)
                self.check(Check.UID_CHANGED, one != other, f"{name} {keyword}")
        originals, pseudonyms = references(before), references(after)
        # Where sequences went whole, the two cannot be laid side by side.
        for one, other in zip(originals, pseudonyms, strict=True) if len(originals) == len(pseudonyms) else ():
            self.check(Check.UID_CONSISTENT, self.uids.setdefault(one, other) == other, f"{name} {one}")
        patient = " ".join(str(before.get("PatientID", "")).split()).casefold()
        if patient:
            known = self.patients.setdefault(patient, str(after.PatientID))
            self.check(Check.PATID_CONSISTENT, known == after.PatientID, name)

    def table(self) -> Iterator[str]:
        """One line a check."""
        for check in Check:
            failed = sum(1 for line in self.failed if line.startswith(f"{check} "))
            if total := self.passed[check] + failed:
                yield f"{check:18} {self.passed[check]:7} of {total:7}"


def references(ds: Dataset) -> list[str]:
    """Every UID that names something of the hospital's, in order: its own and those it refers to."""
    return [
        str(uid)
        for elem in ds.iterall()
        if elem.VR == "UI" and int(elem.tag) in TABLE
        for uid in ([elem.value] if isinstance(elem.value, str) else elem.value or ())
        if uid and uid not in UID_dictionary
    ]


def _is_plain(tag: int, vr: str) -> bool:
    """Whether an attribute says nothing of a person: public, not retired, a number, a code or a structure."""
    entry = DicomDictionary.get(tag)
    if entry is None or entry[3] == "Retired" or vr not in _PLAIN or tag & 0xFFFF == 0:
        return False
    group = tag >> 16
    return group >= 8 and group >> 8 not in (0x50, 0x60) and vr in entry[0] and tag not in OURS.union(_MARKS)


_MARKS = (0x00120062, 0x00120063, 0x00120064, 0x00280303)


def _day(ds: Dataset, tag: int) -> date | None:
    text = str(ds[tag].value or "")[:8] if tag in ds else ""
    return date(int(text[:4]), int(text[4:6]), int(text[6:])) if len(text) == 8 and text.isdigit() else None


def instances(ds: Dataset) -> Iterator[tuple[str, str]]:
    """SOP Class and SOP Instance UID of every reference in a data set."""
    for elem in ds:
        if elem.VR == "SQ":
            for item in elem.value or ():
                if "ReferencedSOPInstanceUID" in item:
                    yield str(item.get("ReferencedSOPClassUID", "")), str(item.ReferencedSOPInstanceUID)
                yield from instances(item)
