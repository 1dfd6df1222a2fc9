from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from services.encode.bootstrap import read_key
from services.encode.errors import KeyUnusable


def test_a_key_of_its_owner_alone_is_read(tmp_path: Path) -> None:
    path = tmp_path / "encode.key"
    path.write_bytes(b"k" * 32)
    path.chmod(0o600)
    assert read_key(path) == b"k" * 32


@pytest.mark.parametrize(
    ("key", "mode", "why"),
    [(b"k" * 31, 0o600, "32 bytes"), (b"k" * 32, 0o640, "chmod 600"), (None, 0, "cannot be read")],
)
def test_a_key_that_is_missing_short_or_open_stops_the_start(
    tmp_path: Path, key: bytes | None, mode: int, why: str
) -> None:
    path = tmp_path / "encode.key"
    if key is not None:
        path.write_bytes(key)
        path.chmod(mode)
    with pytest.raises(KeyUnusable, match=why):
        read_key(path)


def test_the_service_starts_without_waiting_for_highdicom() -> None:
    told = subprocess.run(
        [sys.executable, "-c", "import sys, services.encode.bootstrap; print('highdicom' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == "False"
