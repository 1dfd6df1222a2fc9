"""`plexus model lock`, of a folder of wheels."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.catalogue.environments import lock_of
from services.launcher.authoring import locking
from services.launcher.errors import LauncherError
from tests import wheels


def test_a_lock_file_is_made_with_all_that_is_needed_and_its_hashes(tmp_path: Path) -> None:
    numpy = wheels.pure(tmp_path / "wheels", "numpy", "9.0")
    asking = wheels.pure(tmp_path / "wheels", "asking", "1.0", more="Requires-Dist: numpy\n")
    (tmp_path / "uv.toml").write_text(f'no-index = true\nfind-links = ["{tmp_path / "wheels"}"]\n')
    with pytest.raises(LauncherError, match="name in it what the code imports"):
        locking.lock(tmp_path)
    (tmp_path / "requirements.in").write_text("asking\n")
    assert locking.lock(tmp_path) == 2
    lock = lock_of(tmp_path)
    assert lock is not None and lock.requirements == (asking, numpy)
    (tmp_path / "requirements.in").write_text("asking==2\n")
    with pytest.raises(LauncherError, match="asking==2"):
        locking.lock(tmp_path, python="3.11", upgrade=True)
