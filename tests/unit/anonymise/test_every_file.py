"""Real and odd files: whatever is let through parses, and holds none of its identifying values."""

import io
import re
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_files
from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from services.anonymise.engine.attributes import dummies
from services.anonymise.engine.deidentifying import Policy, clean, deidentify
from services.anonymise.engine.elements import read_file
from services.anonymise.engine.pseudonyms import Pseudonyms, is_well_known
from services.anonymise.engine.table import standard_table
from services.anonymise.engine.words import medical_words
from services.anonymise.errors import Reason, RefusedError

POLICY = Policy(Pseudonyms(b"k" * 32))
DUMMIES = {value.decode() for value in dummies()}  # some files say so themselves
SHIPPED = [Path(name) for name in get_testdata_files("*.dcm")]


def identifying(ds: Dataset) -> Iterator[str]:
    """The values of names, IDs, free texts, dates and UIDs that the table names, as pydicom reads them."""
    listed = standard_table().rows
    for elem in ds.iterall():
        if elem.tag not in listed or elem.VR not in ("PN", "LO", "SH", "LT", "ST", "UT", "UC", "DA", "DT", "UI"):
            continue
        values = elem.value if isinstance(elem.value, pydicom.multival.MultiValue) else [elem.value]
        for value in map(str, values):
            match elem.VR:
                case "PN":
                    # A file's patient is called "Perfusion", as its Image Type is.
                    parts = (part for part in re.split(r"[\^= ,.]+", value) if part.lower() not in medical_words())
                    yield from (part for part in parts if len(part) >= 5)
                case "DA" | "DT":
                    yield from re.findall(r"^(?:19|20)\d{6}", value)
                case "UI":
                    yield from (value,) if len(value) > 8 and not is_well_known(value) else ()
                case _:
                    yield from (value,) if len(value) >= 6 and any(c.isdigit() for c in value) else ()


def left_in(written: bytes, values: set[str]) -> set[str]:
    """Those of `values` that stand in the written file, not within a longer number or word."""
    ds = pydicom.dcmread(io.BytesIO(written))
    pixels = ds.get("PixelData", b"")
    header = (written.replace(pixels, b"") if pixels else written).lower()
    found = set()
    for value in values:
        raw = value.lower().encode("utf-8")
        for form in {raw, value.lower().encode("latin-1", "replace"), value.lower().encode("utf-16-le")}:
            if form in header and re.search(rb"(?<![0-9a-z.])" + re.escape(form) + rb"(?![0-9a-z])", header):
                found.add(value)
    return found


def check(path: Path) -> str:
    """Deidentify one file without asking whether its kind may leave; gives what became of it."""
    data = path.read_bytes()
    try:
        done = clean(read_file(data), POLICY)
    except RefusedError as refused:
        return refused.code
    try:
        before = pydicom.dcmread(io.BytesIO(data))
        values = {value for value in identifying(before) if value.upper() not in DUMMIES}
    except (InvalidDicomError, NotImplementedError, AttributeError, ValueError, LookupError, EOFError, TypeError):
        values = set()  # pydicom cannot read what we could; what we wrote has to be readable all the same
    left = left_in(done.data, values)
    assert not left, f"{path.name}: {len(left)} values left"
    after = pydicom.dcmread(io.BytesIO(done.data))
    assert after.PatientIdentityRemoved == "YES"
    kept = [e for e in after.iterall() if e.tag.is_private or keyword_for_tag(e.tag) == ""]
    assert not kept, f"{path.name}: {len(kept)} private or unknown attributes left"
    return "clean"


def check_all(paths: list[Path]) -> dict[str, int]:
    outcomes: dict[str, int] = {}
    for path in paths:
        outcome = check(path)
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    return outcomes


def test_every_file_that_pydicom_ships_comes_out_clean_or_is_refused() -> None:
    outcomes = check_all(SHIPPED)
    assert outcomes["clean"] > 50 and Reason.PHI_LEFT not in outcomes, outcomes


def test_every_file_of_the_wider_set_comes_out_clean_or_is_refused(shared_data: Path) -> None:
    outcomes = check_all(sorted(shared_data.rglob("*.dcm")))
    assert outcomes["clean"] > 400 and Reason.PHI_LEFT not in outcomes, outcomes


@pytest.mark.parametrize("folder", ["ct-apple-phi", "mr-brain-t2", "mr-epi-timeseries", "seg-liver-ct"])
def test_real_volumes_are_let_in_with_their_pixels_as_they_were(shared_data: Path, folder: str) -> None:
    for path in sorted((shared_data / folder).glob("[!lp]*.dcm")):
        before, after = pydicom.dcmread(path), pydicom.dcmread(io.BytesIO(deidentify(path.read_bytes(), POLICY).data))
        assert after.PixelData == before.PixelData
        assert after.ImagePositionPatient == before.ImagePositionPatient


def test_the_sample_is_let_in_with_its_pixels_as_they_were(sample: Path) -> None:
    paths = sorted(sample.glob("*.dcm"))
    assert len(paths) == 100
    series = set()
    for path in paths:
        before, after = pydicom.dcmread(path), pydicom.dcmread(io.BytesIO(deidentify(path.read_bytes(), POLICY).data))
        assert after.PixelData == before.PixelData
        series.add(after.SeriesInstanceUID)
    assert len(series) == 1
