"""Finding files to send, and offering them."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.launcher import scu
from services.launcher.errors import LauncherError
from services.launcher.scu import File


def _files(contexts: int, each: int = 1) -> list[File]:
    return [
        File(Path(f"{c}-{e}"), f"1.2.{c}", "1.2.840.10008.1.2", "1", "1") for c in range(contexts) for e in range(each)
    ]


def test_files_of_few_contexts_go_in_one_association() -> None:
    (batch,) = scu.plan(_files(3, each=40))
    assert len(batch) == 120


def test_more_contexts_than_an_association_can_have_are_split_and_no_file_is_lost() -> None:
    files = _files(300, each=2)
    batches = scu.plan(files)
    assert [len({file.context for file in batch}) for batch in batches] == [128, 128, 44]
    assert sorted(str(file.path) for batch in batches for file in batch) == sorted(str(file.path) for file in files)


def test_nothing_needs_no_association() -> None:
    assert scu.plan([]) == []


def test_a_folder_is_walked_and_what_is_not_dicom_is_passed_over(sample: Path) -> None:
    found = scu.find([sample])
    assert len(found.files) == 100
    assert found.refused == ()
    assert {file.transfer_syntax_uid for file in found.files} == {"1.2.840.10008.1.2.4.80"}
    assert len({file.study_instance_uid for file in found.files}) == 1


def test_a_file_named_outright_that_is_not_dicom_is_refused(sample: Path) -> None:
    found = scu.find([sample.parent / "ATTRIBUTION.md"])
    assert found.files == ()
    assert [refused.stored for refused in found.refused] == [False]


def test_a_path_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LauncherError, match="does not exist"):
        scu.find([tmp_path / "nothing"])


def test_nobody_listening_is_an_error_that_says_what_to_do(sample: Path, unused_tcp_port: int) -> None:
    files = scu.find([sorted(sample.glob("*.dcm"))[0]]).files
    with pytest.raises(LauncherError, match="is the mesh up"):
        list(scu.send(files, "127.0.0.1", unused_tcp_port))


@pytest.mark.parametrize(
    ("status", "stored"), [(0x0000, True), (0xB000, True), (0xA700, False), (0xC000, False), (None, False)]
)
def test_a_warning_means_stored_and_a_failure_does_not(status: int | None, stored: bool) -> None:
    assert scu.Sent(Path("x"), status, "").stored is stored
