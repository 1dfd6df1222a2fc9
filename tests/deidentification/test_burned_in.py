"""Pixels of real pictures: `pixels_hidden` where the ground truth has text, `pixels_retained` where it has none."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from services.anonymise.burned_in.cleaner import BurnedIn
from services.anonymise.burned_in.devices import shipped_rules
from services.anonymise.burned_in.model import Doubt
from services.anonymise.burned_in.workers import Workers
from services.anonymise.engine.deidentifying import Policy, deidentify
from services.anonymise.engine.kinds import Kind
from services.anonymise.engine.profile import Profile
from services.anonymise.engine.pseudonyms import Pseudonyms
from services.anonymise.errors import DoubtfulPixelsError
from tests.deidentification.scorer import Check, Score

BORDER = 25
"""The ground truth counts from a picture with a border of that many pixels; the file has none."""
MARGIN = 30
"""A mask may reach so far beyond the letters."""
PROFILE = Profile("all", kinds=frozenset(Kind))
WITHOUT_TEXT = ("ct-apple-phi", "ct-chest-cmb", "mr-brain-t2", "seg-liver-ct", "syntaxes-ct", "dicomdir")

Mask = NDArray[np.bool_]


@pytest.fixture(scope="module")
def pixels() -> Iterator[BurnedIn]:
    """A cleaner for which nobody has decided anything."""
    if find_spec("rapidocr") is None:
        pytest.skip("the text reader (rapidocr) is not installed")
    workers = Workers(count=2, memory_bytes=3 * 1024**3, seconds=120)
    yield BurnedIn(rules=shipped_rules(), workers=workers, decided=lambda _: None)
    workers.close()


def cleaned(data: bytes, pixels: BurnedIn) -> pydicom.FileDataset:
    done = deidentify(data, Policy(Pseudonyms(b"k" * 32), PROFILE, pixels))
    return pydicom.dcmread(io.BytesIO(done.data))


def letters_of(path: Path, before: NDArray[Any]) -> Mask:
    """Where the text is: by the ground truth, or what is dark on a page that is white."""
    letters = np.zeros(before.shape[:2], bool)
    boxes = json.loads((path.parent / "ground_truth.json").read_text()).get(path.name)
    if boxes is None:
        dark: Mask = before.min(axis=2) < 128
        return dark
    for box in boxes:
        left, top = box["left"] - BORDER, box["top"] - BORDER
        letters[max(top, 0) : top + box["height"], max(left, 0) : left + box["width"]] = True
    return letters


def near(letters: Mask) -> Mask:
    """The letters, and what lies so near to them that a mask may cover it."""
    rows, columns = np.nonzero(letters)
    wide = np.zeros_like(letters)
    for row, column in {(int(r) // 8, int(c) // 8) for r, c in zip(rows, columns, strict=True)}:
        top, left = row * 8, column * 8
        wide[max(top - MARGIN, 0) : top + 8 + MARGIN, max(left - MARGIN, 0) : left + 8 + MARGIN] = True
    return wide


def test_all_burned_in_text_of_the_ground_truth_is_hidden_and_nothing_else(pixels: BurnedIn, shared_data: Path) -> None:
    score = Score(frozenset())
    for path in sorted((shared_data / "phi-burned-in").glob("*.dcm")):
        if path.name in ("RGB_ORIGINAL.dcm", "example3.dcm"):  # no text; no image
            continue
        data = path.read_bytes()
        before, ds = pydicom.dcmread(io.BytesIO(data)).pixel_array, cleaned(data, pixels)
        after = ds.pixel_array
        letters = letters_of(path, before)
        assert letters.any()
        seen = np.unique(after[letters].reshape(int(letters.sum()), -1), axis=0)
        score.check(Check.PIXELS_HIDDEN, len(seen) == 1, path.name)
        # What a lossy codestream shows depends a little on who decodes it.
        slack = 3 if ds.get("LossyImageCompression") == "01" else 0
        changed = np.abs(after.astype(int) - before.astype(int)).reshape(*before.shape[:2], -1).max(axis=2) > slack
        score.check(Check.PIXELS_RETAINED, not (changed & ~near(letters)).any(), path.name)
        assert ds.BurnedInAnnotation == "NO"
        assert "113101" in [item.CodeValue for item in ds.DeidentificationMethodCodeSequence]
    sys.stdout.write("\n".join((*score.table(), "")))
    assert not score.failed
    assert score.passed[Check.PIXELS_HIDDEN] == score.passed[Check.PIXELS_RETAINED] == 7


def test_a_picture_that_nobody_can_decode_is_held(pixels: BurnedIn, shared_data: Path) -> None:
    with pytest.raises(DoubtfulPixelsError) as held:
        cleaned((shared_data / "phi-burned-in" / "example3.dcm").read_bytes(), pixels)
    assert held.value.finding.doubt is Doubt.UNREADABLE


def test_pictures_without_text_are_let_through_unchanged(pixels: BurnedIn, shared_data: Path) -> None:
    paths = [path for folder in WITHOUT_TEXT for path in sorted((shared_data / folder).rglob("*"))]
    paths += sorted((shared_data / "syntaxes-color").glob("SC_*.dcm"))[::4]
    paths += [shared_data / "phi-burned-in" / "RGB_ORIGINAL.dcm", shared_data / "xray" / "dx-small.dcm"]
    done = 0
    for path in paths[:60] + paths[60::5] if len(paths) > 200 else paths:
        data = path.read_bytes() if path.is_file() else b""
        if data[128:132] != b"DICM" or "PixelData" not in (before := pydicom.dcmread(io.BytesIO(data))):
            continue
        after = cleaned(data, pixels)
        assert after.PixelData == before.PixelData, path
        assert after.file_meta.TransferSyntaxUID.is_encapsulated == before.file_meta.TransferSyntaxUID.is_encapsulated
        done += 1
    assert done >= 60


def test_the_check_can_fail(shared_data: Path) -> None:
    """Without the cleaner's look the ground truth is not hidden."""
    path = shared_data / "phi-burned-in" / "2_ORIGINAL.dcm"
    before = pydicom.dcmread(path).pixel_array
    assert len(np.unique(before[letters_of(path, before)])) > 10
