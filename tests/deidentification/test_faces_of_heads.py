"""Faces of real series: a head of MR leaves without one, all else that may show one waits for a person."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest

from services.anonymise.burned_in.cleaner import BurnedIn
from services.anonymise.burned_in.model import Doubt
from services.anonymise.burned_in.workers import Workers
from services.anonymise.defacing.cleaner import Faces
from services.anonymise.engine.deidentifying import Policy, deidentify
from services.anonymise.engine.profile_file import read_profile
from services.anonymise.engine.pseudonyms import Pseudonyms
from services.anonymise.errors import DoubtfulPixelsError

_SKIN = 123
"""Between air and skin, in the values of this series."""


@pytest.fixture(scope="module")
def heads() -> Iterator[Policy]:
    """By the profile for heads, where nobody has decided anything."""
    workers = Workers(count=2, memory_bytes=3 * 1024**3, seconds=120)
    texts = BurnedIn(rules=(), workers=workers, decided=lambda _: None)
    faces = Faces(workers=workers, decided=lambda _: None)
    yield Policy(Pseudonyms(b"k" * 32), read_profile(Path("deploy/profiles/heads.yaml")), texts, faces)
    workers.close()


def test_a_real_head_of_mr_loses_its_face_and_nothing_behind_it(heads: Policy, shared_data: Path) -> None:
    """Eyes, nose and lips lie in slices 1 to 11; where the brain begins in the last six was read by eye."""
    files = [path.read_bytes() for path in sorted((shared_data / "mr-brain-t2").glob("*.dcm"))]
    pixels = heads.of_series([heads.surveyed(file) for file in files])
    pairs = []
    for file in files:
        after = pydicom.dcmread(io.BytesIO(deidentify(file, heads, pixels).data))
        pairs.append((pydicom.dcmread(io.BytesIO(file)), after))
        assert after.RecognizableVisualFeatures == "NO"
        assert "113102" in [item.CodeValue for item in after.DeidentificationMethodCodeSequence]
    pairs.sort(key=lambda pair: float(pair[0].ImagePositionPatient[2]))
    arrays = [(before.pixel_array, after.pixel_array) for before, after in pairs]
    for number, (original, left) in enumerate(arrays):
        if number >= 12:
            assert np.array_equal(original, left), number
            continue
        # Down the middle of the face, skin begins later now.
        first = [int((array > _SKIN)[:, 126:130].any(axis=1).argmax()) for array in (original, left)]
        assert first[1] > first[0] or number == 11, number
        assert np.array_equal(original[130:], left[130:])
    brain = {6: 70, 7: 63, 8: 58, 9: 50, 10: 34, 11: 30}
    for number, row in brain.items():
        whole, cut = arrays[number]
        assert np.array_equal(whole[row:], cut[row:]), number


@pytest.mark.parametrize(
    ("folder", "pattern", "doubt"),
    [
        ("ct-chest-cmb", "*[02468].dcm", Doubt.FACE_PLACE),  # it does not say what it shows
        ("mr-epi-timeseries", "*", Doubt.FACE_PLACE),  # a brain whose scalp does not show
        ("ct-apple-phi", "*", Doubt.FACE_VOLUME),  # an apple that says to be a head, and its scout views
        ("seg-liver-ct", "0*.dcm", Doubt.FACE_VOLUME),
    ],
)
def test_what_is_not_surely_a_head_waits(
    heads: Policy, shared_data: Path, folder: str, pattern: str, doubt: Doubt
) -> None:
    files = [path.read_bytes() for path in sorted((shared_data / folder).glob(pattern)) if path.suffix == ".dcm"]
    with pytest.raises(DoubtfulPixelsError) as held:
        heads.of_series([heads.surveyed(file) for file in files])
    assert held.value.finding.doubt is doubt
