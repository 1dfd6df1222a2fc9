"""Packages in folders: `<packages>/<name>/<version>/`, unpacked from tar files with suspicion."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import yaml

from services.catalogue.environments import check_lock
from services.catalogue.errors import PackageRefusedError, PackageTooLargeError
from services.catalogue.model import Version
from services.catalogue.ports import Arrays, Case, Package
from services.contracts.card import CardError, ModelCard
from services.contracts.results import check_results

_LEFT_OUT = ("__pycache__", ".git", ".venv")
_FILES_MAX = 10_000
_CHUNK = 1 << 20


class FolderPackages:
    """A `services.catalogue.ports.Packages`."""

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        folder.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def unpacked(self, archive: Path) -> Iterator[Package]:
        """The package in a tar file; see the port."""
        with tempfile.TemporaryDirectory(prefix=".coming-", dir=self._folder) as name:
            folder = Path(name)
            try:
                with tarfile.open(archive, "r:*") as tar:
                    self._extract(tar, folder)
            except (tarfile.TarError, EOFError, OSError):
                raise PackageRefusedError("the package is no tar file, or is damaged") from None
            yield self.read(folder)

    def _extract(self, tar: tarfile.TarFile, folder: Path) -> None:
        left, files = self._max_bytes, 0
        for member in tar:
            path = PurePosixPath(member.name)
            if member.isdir():
                continue
            if not member.isfile() or path.is_absolute() or ".." in path.parts:
                raise PackageRefusedError(f"the package holds {path.name!r}, which is no plain file inside of it")
            left, files = left - member.size, files + 1
            if left < 0 or files > _FILES_MAX:
                raise PackageTooLargeError
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            source = tar.extractfile(member)
            assert source is not None  # noqa: S101  # a plain file has one
            with source, target.open("xb") as out:
                shutil.copyfileobj(source, out, _CHUNK)

    def read(self, folder: Path) -> Package:
        """The package in a folder; see the port."""
        try:
            text = (folder / "model.yaml").read_text(encoding="utf-8")
        except OSError:
            raise PackageRefusedError("there is no model.yaml in it") from None
        except UnicodeDecodeError:
            raise PackageRefusedError("model.yaml is not UTF-8") from None
        try:
            card = ModelCard.from_mapping(yaml.safe_load(text))
            check_results(card)
        except yaml.YAMLError:
            raise PackageRefusedError("model.yaml is not YAML") from None
        except CardError as error:
            raise PackageRefusedError(str(error)) from None
        check_lock(folder, card)
        return Package(folder, card, digest(folder))

    def read_all(self, folder: Path) -> Sequence[Package]:
        """The packages in the folders of a folder; see the port."""
        return [self.read(path.parent) for path in sorted(folder.glob("*/model.yaml"))]

    def keep(self, package: Package) -> None:
        """Put a package in its place; see the port."""
        place = self._folder / package.card.name / package.card.version
        if place.is_dir() and digest(place) == package.digest:
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".coming-", dir=self._folder) as name:
            copy, old = Path(name) / "new", Path(name) / "old"
            shutil.copytree(package.folder, copy, ignore=shutil.ignore_patterns(*_LEFT_OUT))
            for path in copy.rglob("*"):
                path.chmod(0o755 if path.is_dir() else 0o444)
            copy.chmod(0o755)
            if place.exists():  # a draft that comes again
                place.rename(old)
            copy.rename(place)

    def folder(self, version: Version) -> Path:
        """Where a version lies; see the port."""
        return self._folder / version.name / version.version

    def reports(self, version: Version) -> Path:
        """The folder for what a check writes; see the port."""
        return self._folder / ".reports" / version.name / version.version

    def cases(self, version: Version) -> Sequence[Case]:
        """Its test cases; see the port."""
        folder = self.folder(version) / "tests"
        return [_case(path.parent) for path in sorted(folder.glob("*/input.npz"))]


def files_of(folder: Path) -> list[Path]:
    """The plain files of a package, in their order."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not set(path.relative_to(folder).parts) & set(_LEFT_OUT)
    )


def digest(folder: Path) -> str:
    """SHA-256 over the names and the contents of the files."""
    whole = hashlib.sha256()
    for path in files_of(folder):
        with path.open("rb") as file:
            inner = hashlib.file_digest(file, "sha256").hexdigest()
        whole.update(f"{inner}  {path.relative_to(folder).as_posix()}\n".encode())
    return whole.hexdigest()


def _case(folder: Path) -> Case:
    expected, tolerance = folder / "expected.npz", folder / "tolerance.yaml"
    try:
        limits: dict[str, Any] = yaml.safe_load(tolerance.read_text()) if tolerance.exists() else {}
        wanted = {name: float(limits[name]) for name in ("dice", "relative") if name in limits}
        return Case(
            folder.name, _arrays(folder / "input.npz"), _arrays(expected) if expected.exists() else None, **wanted
        )
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile, yaml.YAMLError):
        raise PackageRefusedError(f"the test case {folder.name} cannot be read") from None


def _arrays(path: Path) -> Arrays:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}
