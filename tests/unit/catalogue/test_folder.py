"""Packages in folders: what is taken, what is refused, and that bytes stay what they were."""

from __future__ import annotations

import io
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.catalogue.adapters.folder import FolderPackages, digest
from services.catalogue.errors import PackageRefusedError, PackageTooLargeError
from services.catalogue.model import State, Version
from services.catalogue.repository import lay
from services.launcher import model_template
from services.launcher.models import packed


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "bright-ct"
    model_template.write(folder)
    return folder


@pytest.fixture
def packages(tmp_path: Path) -> FolderPackages:
    return FolderPackages(tmp_path / "packages", max_bytes=1_000_000)


def tar(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def test_a_package_comes_through_a_tar_file_as_it_was(package: Path, packages: FolderPackages, tmp_path: Path) -> None:
    archive = tmp_path / "package.tar"
    with packed(package) as file:
        archive.write_bytes(file.read())
    with packages.unpacked(archive) as found:
        assert (found.card.name, found.card.version, found.digest) == ("bright-ct", "0.1.0", digest(package))
        packages.keep(found)
        packages.keep(found)  # once more changes nothing
    version = Version("bright-ct", "0.1.0", found.digest, State.DRAFT, {}, "", datetime.now(UTC))
    assert digest(packages.folder(version)) == digest(package)
    (case,) = packages.cases(version)
    assert (case.name, case.dice, sorted(case.inputs)) == ("ball", 0.99, ["direction", "spacing", "volume"])
    assert not [path for path in (tmp_path / "packages").iterdir() if path.name.startswith(".coming")]


def test_a_draft_that_comes_again_takes_the_place_of_the_first(package: Path, packages: FolderPackages) -> None:
    packages.keep(packages.read(package))
    (package / "triton" / "1" / "model.py").write_text("other")
    packages.keep(packages.read(package))
    version = Version("bright-ct", "0.1.0", "", State.DRAFT, {}, "", datetime.now(UTC))
    assert (packages.folder(version) / "triton" / "1" / "model.py").read_text() == "other"


@pytest.mark.parametrize("name", ["../out", "/etc/passwd", "a/../../out"])
def test_a_file_that_leads_out_is_refused(packages: FolderPackages, tmp_path: Path, name: str) -> None:
    archive = tar(tmp_path / "p.tar", (tarfile.TarInfo(name), b"x"))
    with pytest.raises(PackageRefusedError, match="no plain file inside"), packages.unpacked(archive):
        pass
    assert not (tmp_path / "out").exists()


def test_links_and_devices_are_refused(packages: FolderPackages, tmp_path: Path) -> None:
    link = tarfile.TarInfo("model.yaml")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with pytest.raises(PackageRefusedError), packages.unpacked(tar(tmp_path / "p.tar", (link, b""))):
        pass


def test_what_is_no_package_is_refused_by_name(packages: FolderPackages, tmp_path: Path) -> None:
    (tmp_path / "noise.tar").write_bytes(b"noise" * 1000)
    with pytest.raises(PackageRefusedError, match="no tar file"), packages.unpacked(tmp_path / "noise.tar"):
        pass
    bare = tar(tmp_path / "p.tar", (tarfile.TarInfo("readme"), b"x"))
    with pytest.raises(PackageRefusedError, match=r"no model\.yaml"), packages.unpacked(bare):
        pass
    poor = tar(tmp_path / "q.tar", (tarfile.TarInfo("model.yaml"), b"name: x"))
    with pytest.raises(PackageRefusedError, match="lacks the key"), packages.unpacked(poor):
        pass


def test_a_package_that_is_too_large_is_refused(packages: FolderPackages, tmp_path: Path) -> None:
    large = tar(tmp_path / "p.tar", (tarfile.TarInfo("weights"), b"x" * 1_000_001))
    with pytest.raises(PackageTooLargeError), packages.unpacked(large):
        pass


def test_a_package_is_laid_under_the_name_it_is_served_by(
    package: Path, packages: FolderPackages, tmp_path: Path
) -> None:
    place = tmp_path / "repository" / "bright-ct-0.1.0"
    for _ in range(2):
        lay(packages.read(package).card, package, place)
    assert (place / "config.pbtxt").read_text().startswith('name: "bright-ct-0.1.0"\nbackend: "python"\n')
    assert [path.name for path in (tmp_path / "repository").iterdir()] == ["bright-ct-0.1.0"]


def test_a_model_for_another_backend_is_tritons_own_and_python_is_only_where_the_operator_trusts_it(
    package: Path, packages: FolderPackages, tmp_path: Path
) -> None:
    """Triton's stub confines nothing: what runs there has the network, and the files of everybody."""
    card, config = packages.read(package).card, package / "triton" / "config.pbtxt"
    place = tmp_path / "repository" / "bright-ct-0.1.0"
    for text, trusted, confined in (
        ('name: "bright-ct"\nplatform: "onnxruntime_onnx"\n', False, False),
        ('backend: "python"\n', False, True),
        ('backend: "python"\n', True, False),
    ):
        config.write_text(text)
        lay(card, package, place, trusted=trusted)
        assert (place / "package").is_dir() is confined
        if not confined:
            assert (place / "config.pbtxt").read_text() == f'name: "bright-ct-0.1.0"\n{text.splitlines()[-1]}\n'
