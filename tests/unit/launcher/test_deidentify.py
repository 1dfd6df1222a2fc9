"""`plexus deidentify`, as it is called."""

from pathlib import Path

import pydicom
import pytest
from typer.testing import CliRunner

from services.launcher.cli import app
from tests.unit.anonymise.defacing.heads import file_of, slices
from tests.unit.anonymise.planted import ct, element, part10


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inside = tmp_path / "Doe_Jane"
    inside.mkdir()
    (inside / "one.dcm").write_bytes(part10(ct()))
    (inside / "burned.dcm").write_bytes(part10(ct(element(0x00280301, "CS", b"YES"))))
    (inside / "notes.txt").write_text("Jane Doe")
    (inside / "empty").touch()
    return inside


def call(*arguments: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["deidentify", *map(str, arguments)])
    return done.exit_code, done.output


def test_a_dry_run_shows_what_would_happen_and_writes_nothing(folder: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    code, output = call(folder, "--report", "--data", tmp_path / "none")
    assert code == 1 and "1 can leave, 3 refused" in output and "burned-in-annotation" in output
    assert "PatientName" in output and "table-e1-1" in output and "MRN" not in output
    assert sorted(tmp_path.rglob("*")) == before


def test_files_are_written_under_their_pseudonyms(folder: Path, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(b"k" * 32)
    key.chmod(0o600)
    out = tmp_path / "out"
    code, output = call(folder / "one.dcm", "-o", out, "--key-file", key, "-p", "research")
    assert code == 0 and "1 written" in output
    (written,) = out.iterdir()
    ds = pydicom.dcmread(written)
    assert written.name == f"{ds.SOPInstanceUID}.dcm" and ds.PatientIdentityRemoved == "YES"


def test_faces_are_removed_by_series_and_a_series_that_cannot_be_judged_is_refused(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(b"k" * 32)
    key.chmod(0o600)
    for number, one in enumerate(slices("axial", apart=8.0)):
        (tmp_path / f"{number}.dcm").write_bytes(file_of(one, number))
    (tmp_path / "profile.dcm").write_bytes(file_of(next(iter(slices("sagittal"))), 99, SeriesInstanceUID="1.2.3.2"))
    (tmp_path / "empty").touch()
    out = tmp_path / "out"
    code, output = call(tmp_path, "-o", out, "--key-file", key, "-p", "heads")
    assert code == 1 and "32 written, 3 refused" in output and "pixels-doubtful" in output
    marks = {pydicom.dcmread(path).RecognizableVisualFeatures for path in out.iterdir()}
    assert marks == {"NO"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nonsuch",), "does not exist"),
        ((".gitignore", "-p", "nonsuch"), "nonsuch"),
        ((".gitignore", "-o", "/tmp/never", "--data", "/nonsuch"), "--key-file"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(arguments: tuple[str, ...], said: str) -> None:
    code, output = call(*arguments)
    assert code == 1 and said in output and "Traceback" not in output
