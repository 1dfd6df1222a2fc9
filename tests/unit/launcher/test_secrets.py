"""Passwords and keys."""

from __future__ import annotations

from pathlib import Path

from services.launcher import registry, secrets


def test_every_secret_is_random_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    secrets.ensure(tmp_path / "a")
    secrets.ensure(tmp_path / "b")
    for name in (*registry.PASSWORDS, *registry.KEYS):
        file = tmp_path / "a" / name
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.read_bytes() != (tmp_path / "b" / name).read_bytes()
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o700


def test_what_is_there_is_never_replaced(tmp_path: Path) -> None:
    secrets.ensure(tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    secrets.ensure(tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_missing_key_is_made_beside_those_that_are_there(tmp_path: Path) -> None:
    secrets.ensure(tmp_path)
    kept = (tmp_path / "anonymise.key").read_bytes()
    (tmp_path / "encode.key").unlink()
    secrets.ensure(tmp_path)
    assert len((tmp_path / "encode.key").read_bytes()) == 32
    assert (tmp_path / "anonymise.key").read_bytes() == kept


def test_a_password_needs_no_quoting_in_a_url_or_in_the_configuration_of_nats(tmp_path: Path) -> None:
    secrets.ensure(tmp_path)
    for password in secrets.passwords(tmp_path).values():
        assert password.isalnum()
        assert password[0].isalpha()
        assert len(password) >= 48
