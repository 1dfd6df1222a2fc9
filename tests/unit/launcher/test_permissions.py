"""Rights on the bus are those that the code declares."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.contracts import subjects
from services.contracts.voices import VOICES
from services.launcher import permissions, registry
from services.launcher.registry import Zone


def test_the_file_is_what_the_code_makes() -> None:
    assert permissions.main(["--check"]) == 0


def test_a_file_that_was_changed_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "permissions.conf"
    assert permissions.main([], file) == 0
    file.write_text(file.read_text().replace("user: bridge", "user: everybody"))
    assert permissions.main(["--check"], file) == 1
    assert "services.launcher.permissions" in capsys.readouterr().err


def test_every_service_has_a_voice() -> None:
    assert {voice.service for voice in VOICES} == {part.name for part in registry.services()}


def test_the_compute_zone_hears_one_stream_whose_subjects_hold_no_phi() -> None:
    for voice in VOICES:
        if registry.BY_NAME[voice.service].zone is Zone.COMPUTE:
            assert {each.stream for each in voice.hears} == {subjects.COMPUTE.name}
            assert set(voice.overhears) <= set(subjects.COMPUTE.subjects)
            assert not voice.makes_streams


def test_what_somebody_hears_somebody_says() -> None:
    said = {subject for voice in VOICES for subject in voice.says}
    heard = {each.subject for voice in VOICES for each in voice.hears} | {s for v in VOICES for s in v.overhears}
    assert heard <= said
