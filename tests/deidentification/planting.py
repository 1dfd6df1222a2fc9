"""PHI in every corner of a real object: listed attributes, nested items, private ones, overlays, texts of reports and
annotations, file meta information, preamble."""

from __future__ import annotations

import io
from datetime import date, timedelta

from pydicom import dcmread
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import UID

from services.anonymise.engine.options import OF_PIXELS, Option
from tests.deidentification.scorer import TABLE, Planted

_TEXTS = ("LO", "LT", "SH", "ST", "UT", "UC", "PN")
_FIRST_DAY = date(2019, 3, 4)
_VERSIONS = (0x00080106, 0x00080107, 0x0040DB06, 0x0040DB07)  # of the standard's own context groups and templates
_OWN = (0x00100020, 0x00420011)
_NESTED = (0x00100010, 0x00080050, 0x00081030, 0x00080090, 0x00081070, 0x00204000, 0x00104000, 0x00101040)
_MEDICAL = "liver"
_DEFLATED_FRAMES, _ALIKE = "1.2.840.10008.1.2.8.1", UID("1.2.840.10008.1.2.5")
"""Younger than pydicom's register, which writes no file in it; nobody here decodes the frames."""


class Planter:
    """Fills one file; every canary is there once."""

    def __init__(self, options: frozenset[Option]) -> None:
        self._columns = {option.column: option for option in options - OF_PIXELS}
        self._number = 0
        self.planted = Planted()

    def plant(self, data: bytes) -> bytes:
        """The file with everything in it."""
        ds = dcmread(io.BytesIO(data))
        for elem in [elem for elem in ds if elem.tag.group == 0]:  # commands that some file has, and nobody may write
            del ds[elem.tag]
        if ds.file_meta.TransferSyntaxUID == _DEFLATED_FRAMES:
            ds.file_meta.TransferSyntaxUID = _ALIKE
        self._listed(ds)
        self._nested(ds, 0)
        self._private(ds)
        self._contents(ds)
        ds.add_new(0x60000010, "US", 1)
        ds.add_new(0x60000022, "LO", self._canary())
        ds.add_new(0x60003000, "OW", self._canary().encode())
        return self._written(ds)

    def _listed(self, ds: Dataset) -> None:
        for tag, row in TABLE.items():
            if tag >> 16 < 8 or tag in _OWN or (ds.get(tag) is not None and ds[tag].VR in ("SQ", "OB")):
                continue
            try:
                vr = dictionary_VR(tag)
            except KeyError:
                continue
            said = {row[column] for column in self._columns if row[column]}
            if vr in _TEXTS:
                self._text(ds, tag, vr, said)
            elif vr in ("DA", "DT") and tag not in _VERSIONS and row["retain_longitudinal_modified_dates"]:
                day = _FIRST_DAY + timedelta(days=len(self.planted.dates))
                ds.add_new(tag, vr, f"{day:%Y%m%d}")
                self.planted.dates[tag] = day

    def _text(self, ds: Dataset, tag: int, vr: str, said: set[str]) -> None:
        canary = self._canary(keep="K" in said)
        if "K" in said:
            self.planted.kept[tag] = canary
        elif "C" in said and vr != "PN" and "clean_descriptors" in self._columns and TABLE[tag]["clean_descriptors"]:
            self.planted.words[tag], canary = _MEDICAL, f"{_MEDICAL} {canary}"
        ds.add_new(tag, vr, canary)

    def _nested(self, ds: Dataset, depth: int) -> None:
        for elem in list(ds):
            if elem.VR == "SQ" and elem.value and depth < 4:
                for tag in _NESTED:
                    if tag not in elem.value[0]:
                        elem.value[0].add_new(tag, dictionary_VR(tag), self._canary())
                self._nested(elem.value[0], depth + 1)

    def _private(self, ds: Dataset) -> None:
        block = ds.private_block(0x0019, "VOGEL CREATOR", create=True)
        block.add_new(0x01, "LO", self._canary())
        item = Dataset()
        item.PatientName = self._canary()
        block.add_new(0x02, "SQ", [item])
        safe = ds.private_block(0x0099, "NQHeader", create=True)
        safe.add_new(0x05, "LT", self._canary())  # on the standard's list, but a message

    def _contents(self, ds: Dataset) -> None:
        for elem in ds.iterall():
            if elem.keyword in ("TextValue", "UnformattedTextValue"):
                elem.value = f"{_MEDICAL} of Dr. {self._canary()}, born 12.05.1960"

    def _canary(self, *, keep: bool = False) -> str:
        self._number += 1
        canary = f"Vogel{self._number:05d}"
        if not keep:
            self.planted.canaries.add(canary)
        return canary

    def _written(self, ds: FileDataset) -> bytes:
        ds.preamble = self._canary().encode().ljust(128, b"\0")
        ds.file_meta.add_new(0x00020016, "AE", self._canary())
        ds.file_meta.add_new(0x00020100, "UI", "1.2.3.4711")
        ds.file_meta.add_new(0x00020102, "OB", self._canary().encode())
        out = io.BytesIO()
        ds.save_as(out, enforce_file_format=False)
        return out.getvalue()
