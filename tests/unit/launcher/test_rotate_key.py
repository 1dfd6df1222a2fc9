"""`plexus rotate-key`."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from services.launcher import secrets
from services.launcher.cli import app


def test_a_new_key_takes_the_place_of_the_old_one_which_stays_beside_it(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    secrets.ensure(folder)
    key = folder / "anonymise.key"
    before = key.read_bytes()
    told = CliRunner().invoke(app, ["rotate-key", "--data", str(tmp_path)])
    assert told.exit_code == 0, told.output
    (older,) = folder.glob("anonymise.key.*")
    assert older.read_bytes() == before != key.read_bytes()
    assert {path.stat().st_mode & 0o777 for path in (key, older)} == {0o600}
    secrets.ensure(folder)  # the next start makes no other
    assert older.read_bytes() == before


def test_without_a_key_it_says_so(tmp_path: Path) -> None:
    told = CliRunner().invoke(app, ["rotate-key", "--data", str(tmp_path)])
    assert told.exit_code == 1
    assert "cannot be read" in told.output
