"""The key file."""

from pathlib import Path

import pytest

from services.anonymise.adapters.key_file import read_key
from services.anonymise.errors import KeyFileError


def make(folder: Path, *, mode: int = 0o600, content: bytes = b"k" * 32) -> Path:
    path = folder / "anonymise.key"
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_key_that_its_owner_alone_can_read_is_read(tmp_path: Path, mode: int) -> None:
    assert read_key(make(tmp_path, mode=mode)) == b"k" * 32


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o601])
def test_a_key_that_is_open_to_others_is_refused_with_the_way_out(tmp_path: Path, mode: int) -> None:
    with pytest.raises(KeyFileError, match="chmod 600"):
        read_key(make(tmp_path, mode=mode))


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_key_of_another_length_is_refused_without_being_shown(tmp_path: Path, length: int) -> None:
    with pytest.raises(KeyFileError, match="32 bytes") as refused:
        read_key(make(tmp_path, content=b"k" * length))
    assert "kk" not in str(refused.value)


def test_a_key_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="cannot be read"):
        read_key(tmp_path / "nothing")
