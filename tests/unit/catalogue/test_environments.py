"""Environments of packages: what a lock file may say, and how uv builds them of a folder of wheels."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from services.catalogue.adapters.environments import UvEnvironments
from services.catalogue.adapters.folder import FolderPackages
from services.catalogue.environments import EnvironmentState, lock_of, parsed
from services.catalogue.errors import EnvironmentBrokenError, PackageRefusedError
from tests import wheels
from tests.unit.contracts.test_card import CARD

HASH = "--hash=sha256:" + "0" * 64
LAID_OUT = f"""
# made by uv
numpy==1.26.4 ; python_full_version < '3.12' \\
    {HASH} \\
    {HASH}
    # via -r requirements.in
torch==2.1.0+cpu {HASH}  # wheels only
"""


def test_the_layout_of_a_lock_file_does_not_count() -> None:
    lock = parsed(LAID_OUT)
    assert lock.requirements == (
        f"numpy==1.26.4 ; python_full_version < '3.12' {HASH} {HASH}",
        f"torch==2.1.0+cpu {HASH}",
    )
    assert parsed(lock.text) == lock
    assert lock.environment("3.11", "linux-x86_64") == parsed(lock.text).environment("3.11", "linux-x86_64")
    assert lock.environment("3.11", "linux-x86_64") != lock.environment("3.12", "linux-x86_64")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("numpy==1.26.4", "line 1: only name==version"),
        (f"\nnumpy>=1 {HASH}", "line 2"),
        ("numpy==1.26.4 --hash=md5:00", "line 1"),
        (f"--index-url http://else.where/simple\nnumpy==1 {HASH}", "line 1"),
        (f"numpy==1 {HASH}\n-r /etc/passwd", "line 2"),
        (f"numpy @ file:///tmp/x.whl {HASH}", "line 1"),
        (f"numpy==1 {HASH}\n-e .", "line 2"),
        (f"numpy==1 {HASH} \\", "ends within a line"),
        (f"scipy==1 {HASH}", "lacks numpy"),
    ],
)
def test_what_a_lock_file_may_not_say_is_refused_by_its_line(text: str, words: str) -> None:
    with pytest.raises(PackageRefusedError, match=words):
        parsed(text)


@pytest.mark.parametrize(
    ("kind", "words"),
    [("external", "one of kind external does not"), ("torchscript", "lacks scipy and torch, which a package of kind")],
)
def test_a_lock_file_is_one_for_the_kind_of_its_package(tmp_path: Path, kind: str, words: str) -> None:
    (tmp_path / "model.yaml").write_text(str({**CARD, "kind": kind}))
    (tmp_path / "requirements.lock").write_text(f"numpy==1 {HASH}")
    with pytest.raises(PackageRefusedError, match=words):
        FolderPackages(tmp_path, max_bytes=1).read(tmp_path)


def built_by(tmp_path: Path, python: str = sys.executable) -> UvEnvironments:
    return UvEnvironments(tmp_path / "made", python=python, wheels=tmp_path / "wheels", index="", seconds=60)


def package(tmp_path: Path, name: str, *lines: str) -> Path:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "requirements.lock").write_text("\n".join(lines))
    return folder


async def test_a_lock_file_is_built_once_shared_and_removed_with_its_last_package(tmp_path: Path) -> None:
    lines = [wheels.pure(tmp_path / "wheels", "numpy", "9.0"), wheels.pure(tmp_path / "wheels", "colour", "1.0", "x=1")]
    one, other = package(tmp_path, "one", *lines), package(tmp_path, "other", "# the same", *lines)
    third = package(tmp_path, "third", lines[0])
    environments = built_by(tmp_path)
    assert (await environments.progress(one)).state is EnvironmentState.MISSING
    places = await asyncio.gather(*(environments.ready(folder) for folder in (one, other, third)))
    assert places[0] is not None and places[0] == places[1] != places[2]
    assert (places[0] / "colour.py").read_text() == "x=1" and (places[0] / "__pycache__").is_dir()
    assert not (places[0] / "colour.py").stat().st_mode & 0o222
    found = await environments.progress(other)
    assert (found.state, found.packages) == (EnvironmentState.READY, 2)
    inode = places[0].stat().st_ino
    assert await built_by(tmp_path).ready(one) == places[0] and places[0].stat().st_ino == inode

    (tmp_path / "made" / ".coming-half").mkdir()  # what a killed builder left
    assert await environments.keep_only([other]) == [places[2].parent.name]
    assert [path.name for path in (tmp_path / "made").iterdir()] == [places[0].parent.name]
    assert await environments.keep_only([]) == [places[0].parent.name]
    assert await environments.ready(tmp_path) is None  # no lock file, no environment


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda line: line.replace("colour==1.0", "colour==2.0"), "no version of colour==2.0"),
        (lambda line: line[:-64] + "0" * 64, "Hash mismatch for .colour.*Expected:.*Computed:"),
        (lambda line: line.replace("colour", "grey"), "no usable wheels|building from source is disabled"),
        (lambda line: line.replace("colour", "asking"), "no trusted hash was provided for: .colour"),
    ],
    ids=["no such version", "a wrong hash", "a source archive", "an incomplete lock file"],
)
async def test_what_cannot_be_built_says_why_and_leaves_nothing(tmp_path: Path, change: object, words: str) -> None:
    folder = tmp_path / "wheels"
    numpy, colour = wheels.pure(folder, "numpy", "9.0"), wheels.pure(folder, "colour", "1.0")
    (folder / "grey-1.0.tar.gz").write_bytes(b"a source archive is not even opened")
    asking = wheels.pure(folder, "asking", "1.0", more="Requires-Dist: colour\n")
    line = change(asking if "trusted" in words else colour)  # type: ignore[operator]  # a function of a line
    environments = built_by(tmp_path)
    with pytest.raises(EnvironmentBrokenError, match=f"requirements.lock cannot be built: .*({words})"):
        await environments.ready(package(tmp_path, "one", numpy, line))
    assert list((tmp_path / "made").iterdir()) == []


async def test_for_a_python_elsewhere_the_wheels_are_those_of_its_version(tmp_path: Path) -> None:
    folder = tmp_path / "wheels"
    line = wheels.wheel(folder, "numpy", "9.0", {"numpy.py": b"old"}, tag="cp310-cp310-manylinux_2_17_x86_64")
    place = await built_by(tmp_path, "3.10").ready(package(tmp_path, "one", line))
    assert place is not None and place.parent.name.startswith("python3.10-") and (place / "numpy.py").is_file()
    with pytest.raises(EnvironmentBrokenError, match="no Python that answers"):
        await built_by(tmp_path, "/bin/false").ready(tmp_path / "one")


def test_a_package_without_a_lock_file_has_none(tmp_path: Path) -> None:
    assert lock_of(tmp_path) is None
