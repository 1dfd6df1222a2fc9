"""`./plexus` as a person calls it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from services.launcher.settings import REPOSITORY

COMMANDS = ("demo", "up", "down", "status", "send", "jobs", "trace", "logs", "test")
SCRIPT = REPOSITORY / "plexus"


def _run(*arguments: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPT, *arguments],
        cwd=cwd,
        env={**os.environ, "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with the script and the locks, and nothing installed."""
    shutil.copy(SCRIPT, tmp_path / "plexus")
    shutil.copytree(REPOSITORY / "requirements", tmp_path / "requirements")
    return tmp_path


def test_help_names_every_command(tmp_path: Path) -> None:
    done = _run("--help", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [command for command in COMMANDS if f" {command} " not in done.stdout] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(tmp_path: Path, command: str) -> None:
    done = _run(command, "--help", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"plexus {command}" in done.stdout


def test_it_works_by_a_link_from_another_folder_that_has_a_package_of_the_same_name(tmp_path: Path) -> None:
    (tmp_path / "services").mkdir()
    (tmp_path / "services" / "__init__.py").write_text("raise SystemExit('the wrong one')")
    link = tmp_path / "link"
    link.symlink_to(SCRIPT)
    done = subprocess.run([link, "--help"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "arguments", [("status",), ("jobs",), ("send", "."), ("trace", "some-job"), ("logs", "ingest")]
)
def test_a_command_that_needs_the_mesh_says_what_to_do_when_it_is_not_up(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    done = _run(*arguments, cwd=tmp_path, PLEXUS_DATA=str(tmp_path / "data"))
    assert done.returncode == 1
    assert "never up" in done.stderr or "./plexus up" in done.stderr
    assert "Traceback" not in done.stderr


def test_stopping_what_is_not_up_is_fine(tmp_path: Path) -> None:
    assert _run("down", cwd=tmp_path, PLEXUS_DATA=str(tmp_path / "data")).returncode == 0


def test_a_wrong_setting_is_told_in_one_line(tmp_path: Path) -> None:
    done = _run("status", cwd=tmp_path, PLEXUS_PORT_EDGE="eighty")
    assert done.returncode == 1
    assert done.stderr.strip() == "plexus: PLEXUS_PORT_EDGE is not a number"


def test_without_a_python_that_fits_it_says_which_is_needed(clone: Path) -> None:
    done = subprocess.run(
        [clone / "plexus", "--help"],
        env={"PATH": os.environ["PATH"], "PLEXUS_PYTHON": "/bin/false"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Python 3.11 or newer is needed" in done.stderr


def test_when_setting_up_fails_the_end_of_its_log_is_shown(clone: Path) -> None:
    (clone / "requirements" / "bootstrap.lock").write_text("uv==0.0.0-broken --hash=sha256:00\n")
    done = subprocess.run([clone / "plexus", "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "✗ uv" in done.stderr
    assert "setup.log" in done.stderr
    assert "0.0.0-broken" in done.stderr
    assert not (clone / ".venv" / ".plexus-lock").exists()
