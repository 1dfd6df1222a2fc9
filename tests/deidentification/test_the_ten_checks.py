"""PHI planted in every kind of object that we have: the ten checks, valid output, references that lead there.

Two files of each SOP class as a rule; with PLEXUS_TEST_EVERY_FILE=1 every file of the shared data (two minutes).
"""

import io
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import UID_dictionary  # type: ignore[attr-defined]  # there, only not declared

from services.anonymise.engine.deidentifying import Policy, Seen, deidentify
from services.anonymise.engine.kinds import Kind, kind_of
from services.anonymise.engine.options import Option
from services.anonymise.engine.profile import Documents, Profile
from services.anonymise.engine.profile_file import read_profile
from services.anonymise.engine.pseudonyms import Pseudonyms
from services.anonymise.errors import RefusedError
from services.anonymise.model import DeidentifiedInstance
from tests.deidentification.planting import Planter
from tests.deidentification.scorer import Check, Score, instances

KEY = Pseudonyms(b"k" * 32)
EVERYTHING = frozenset(Kind)
PROFILES = {
    "basic": Profile("basic", kinds=EVERYTHING, documents=Documents.REPLACE),
    "research": replace(
        read_profile(Path("deploy/profiles/research.yaml")), kinds=EVERYTHING, documents=Documents.REPLACE
    ),
}
MOST_OF_A_KIND = 2
LARGEST = 3_500_000
SKIPPED = ("malformed", "phi-burned-in", "dicomdir")
EVERY_FILE = bool(os.environ.get("PLEXUS_TEST_EVERY_FILE"))
REFUSED = {
    "sop-class-not-cleanable": 15,
    "unreadable": 8,
    "pixel-data-unexpected": 2,
    "transfer-syntax-not-cleanable": 1,
}
"""Of the shared data: media directories and foreign classes; no Part 10 files, and cut ones; and so on. No other."""
NOT_WHOLE = ("emri_small_jpeg_2k_lossless_too_short.dcm", "chrSQEncoding.dcm", "chrSQEncoding1.dcm")
"""These are refused, as they should be: cut off, or of another class than their File Meta Information says."""


def policy(name: str) -> Policy:
    # What the pixels show is judged elsewhere (pixels_hidden below): here they are let by as they are.
    return Policy(KEY, PROFILES[name], lambda file, _: Seen(file, frozenset()))


@pytest.fixture(scope="session")
def objects(shared_data: Path) -> list[Path]:
    """Some files of every SOP class that can be cleaned, or every file that can be."""
    if EVERY_FILE:
        return every_file(shared_data)
    by_class: dict[str, list[Path]] = {}
    for path in sorted(shared_data.rglob("*.dcm"), key=lambda each: each.stat().st_size):
        if path.parent.name in SKIPPED or path.name in NOT_WHOLE or path.stat().st_size > LARGEST:
            continue
        header = pydicom.dcmread(path, stop_before_pixels=True, force=True)
        syntax = header.file_meta.get("TransferSyntaxUID", "")
        if syntax in UID_dictionary and kind_of(str(header.get("SOPClassUID", ""))) is not None:
            by_class.setdefault(str(header.SOPClassUID), []).append(path)
    assert len(by_class) >= 25, sorted(by_class)
    return [path for paths in by_class.values() for path in paths[:MOST_OF_A_KIND]]


def every_file(folder: Path) -> list[Path]:
    """All that is not refused; what is, is refused for the reasons that are known."""
    found, refused = [], Counter[str]()
    for path in sorted(folder.rglob("*")):
        if path.is_dir() or path.suffix in (".csv", ".md", ".json", ".txt"):
            continue
        try:
            deidentify(path.read_bytes(), policy("basic"))
            found.append(path)
        except RefusedError as error:
            refused[error.code] += 1
    assert refused == REFUSED
    return found


def read(done: DeidentifiedInstance) -> pydicom.FileDataset:
    return pydicom.dcmread(io.BytesIO(done.data))


@pytest.mark.parametrize("name", PROFILES)
def test_the_checks_pass_for_every_kind_of_object(name: str, objects: list[Path]) -> None:
    score = Score(PROFILES[name].options)
    for path in objects:
        planter = Planter(PROFILES[name].options)
        data = planter.plant(path.read_bytes())
        done = deidentify(data, policy(name))
        score.file(path.name, pydicom.dcmread(io.BytesIO(data)), read(done), done.data, planter.planted)
    sys.stdout.write("\n".join((*score.table(), "")))
    assert not score.failed, f"{len(score.failed)} failed, such as {score.failed[:20]}"
    assert {check for check in Check if score.passed[check]} == set(Check) - {Check.PIXELS_HIDDEN}


def complaints(path: Path) -> set[str]:
    """The errors of dciodvfy, without values."""
    run = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, check=False)
    lines = (run.stdout + run.stderr).decode("latin-1").splitlines()
    return {re.sub(r"<[0-9.]+>|= .*", "", line).strip() for line in lines if line.startswith("Error")}


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy is not installed (Debian: dicom3tools)")
@pytest.mark.parametrize("name", PROFILES)
def test_an_output_has_no_fault_that_the_input_had_not(name: str, objects: list[Path], tmp_path: Path) -> None:
    new = {}
    for path in objects:
        out = tmp_path / "out.dcm"
        out.write_bytes(deidentify(path.read_bytes(), policy(name)).data)
        if faults := complaints(out) - complaints(path):
            new[path.name] = faults
    assert not new, f"{len(new)} of {len(objects)}: {new}"


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize(
    ("referrer", "referred"),
    [
        ("derived/tumor-seg.dcm", None),
        ("derived/tumor-tid1500-sr.dcm", "derived/tumor-seg.dcm"),
        ("derived/prLUTs.dcm", "derived/imageForPrLUTs.dcm"),
        ("derived/rtss.dcm", "derived/ct.0.dcm"),
        ("derived/rtplan.dcm", None),
    ],
)
def test_references_lead_to_the_pseudonyms_of_what_they_led_to(
    name: str, referrer: str, referred: str | None, shared_data: Path
) -> None:
    if name == "basic" and "sr" in referrer:
        pytest.skip("the Basic Profile leaves no content of a report; its evidence is below")
    before = pydicom.dcmread(shared_data / referrer)
    after = read(deidentify((shared_data / referrer).read_bytes(), policy(name)))
    expected = {(sop_class, KEY_OF[name].uid(uid)) for sop_class, uid in instances(before)}
    assert expected and set(instances(after)) == expected
    if referred is not None:
        target = read(deidentify((shared_data / referred).read_bytes(), policy(name)))
        assert (target.SOPClassUID, target.SOPInstanceUID) in expected or target.FrameOfReferenceUID in str(after)


KEY_OF = {name: KEY.of_project(profile.project) for name, profile in PROFILES.items()}


def test_the_evidence_of_a_report_still_names_its_images(shared_data: Path) -> None:
    source = shared_data / "derived" / "tumor-tid1500-sr.dcm"
    before, after = pydicom.dcmread(source), read(deidentify(source.read_bytes(), policy("basic")))
    evidence = [{KEY.uid(uid) if ds is before else uid for _, uid in instances(ds)} for ds in (before, after)]
    assert evidence[1] and evidence[1] <= evidence[0]


def test_encapsulated_documents_are_refused_unless_the_profile_says_otherwise(shared_data: Path) -> None:
    data = (shared_data / "derived" / "pdf.dcm").read_bytes()
    original = pydicom.dcmread(io.BytesIO(data)).EncapsulatedDocument
    for documents in Documents:
        profile = replace(PROFILES["basic"], documents=documents)
        if documents is Documents.REFUSE:
            with pytest.raises(RefusedError, match="encapsulated-document"):
                deidentify(data, Policy(KEY, profile))
            continue
        after = read(deidentify(data, Policy(KEY, profile)))
        assert after.EncapsulatedDocument.startswith(b"%PDF")
        assert (after.EncapsulatedDocument == original) is (documents is Documents.RETAIN)


def test_the_check_can_fail(objects: list[Path]) -> None:
    """One rule switched off is found."""
    for check, weak in (
        (Check.TEXT_REMOVED, replace(PROFILES["basic"], options=frozenset((Option.RETAIN_INSTITUTION_IDENTITY,)))),
        (Check.DATE_SHIFTED, replace(PROFILES["basic"], options=frozenset((Option.RETAIN_FULL_DATES,)))),
        (Check.UID_CHANGED, replace(PROFILES["basic"], options=frozenset((Option.RETAIN_UIDS,)))),
    ):
        score = Score(frozenset())
        planter = Planter(frozenset())
        data = planter.plant(objects[0].read_bytes())
        done = deidentify(data, Policy(KEY, weak, lambda file, _: Seen(file, frozenset())))
        score.file("one", pydicom.dcmread(io.BytesIO(data)), read(done), done.data, planter.planted)
        assert any(line.startswith(f"{check} ") for line in score.failed)
