"""Keys from a key management service, by its command line."""

from __future__ import annotations

import sys

import pytest

from services.anonymise.adapters.key_command import read_keys
from services.anonymise.engine.pseudonyms import Pseudonyms
from services.anonymise.errors import KeyFileError


def test_the_first_key_is_the_current_one_and_older_ones_are_known() -> None:
    keys = read_keys(f'{sys.executable} -c \'print("11" * 32); print("22" * 32)\'')
    current, older = Pseudonyms(b"\x11" * 32), Pseudonyms(b"\x22" * 32)
    assert keys.current.key_id == current.key_id
    assert set(keys.by_id) == {current.key_id, older.key_id}


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("/nowhere/at/all", "cannot be run"),
        ("unbalanced 'quote", "cannot be run"),
        (f"{sys.executable} -c 'raise SystemExit(3)'", "exit code 3"),
        (f"{sys.executable} -c pass", "printed nothing"),
        (f"{sys.executable} -c 'print(\"secret-secret\")'", "no key of 32 bytes in line 1"),
    ],
)
def test_what_is_wrong_is_told_without_what_was_printed(command: str, told: str) -> None:
    with pytest.raises(KeyFileError, match=told) as raised:
        read_keys(command)
    assert "secret" not in str(raised.value)
