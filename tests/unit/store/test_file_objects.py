"""What is particular to objects in a folder."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.store import disk
from services.store.errors import ObjectsAddress, ObjectsUnavailable
from services.store.file_objects import FileObjects, open_objects


async def keep(objects: FileObjects, data: bytes) -> str:
    async with objects.draft() as draft:
        await draft.write(data)
        draft.seal()
        return await objects.keep(draft)


async def test_opening_makes_nothing(tmp_path: Path) -> None:
    open_objects(f"file://{tmp_path}/objects")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["", "objects", "file://host/objects", "s3://bucket", "http://127.0.0.1/objects"])
def test_an_address_that_we_cannot_open_is_a_clear_error(url: str) -> None:
    with pytest.raises(ObjectsAddress):
        open_objects(url)


async def test_a_file_is_named_by_its_digest_alone(tmp_path: Path) -> None:
    digest = await keep(FileObjects(tmp_path), b"Muster^Maria")

    assert [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()] == [Path(digest[:3]) / digest]


@pytest.mark.parametrize("size", [10, 5 * 1024 * 1024])
async def test_the_bytes_are_on_the_disk_before_the_name_and_the_name_before_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    steps: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def noted_fsync(opened: int) -> None:
        place = Path(f"/proc/self/fd/{opened}").readlink()
        steps.append("folder" if place.is_dir() else "bytes")
        fsync(opened)

    def noted_rename(source: Path, target: Path) -> Path:
        renamed = rename(source, target)
        steps.append("name")
        return renamed

    objects = FileObjects(tmp_path)
    await keep(objects, b"the first one makes the folders")
    (tmp_path / "000").mkdir(exist_ok=True)
    monkeypatch.setattr("services.store.disk.os.fsync", noted_fsync)
    monkeypatch.setattr(Path, "rename", noted_rename)
    await keep(objects, bytes(size))

    assert [step for step in steps if step != "folder"] == ["bytes", "name"]
    assert steps[-1] == "folder"


async def test_a_disk_that_is_full_leaves_nothing_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    objects = FileObjects(tmp_path)
    monkeypatch.setattr("services.store.disk.os.pwrite", full)

    with pytest.raises(ObjectsUnavailable):
        await keep(objects, b"bytes")

    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


async def test_a_large_draft_whose_disk_is_full_says_so_while_it_comes_in(tmp_path: Path) -> None:
    (tmp_path / "incoming").write_text("a file where the folder should be: no draft can be made")

    async with FileObjects(tmp_path).draft() as draft:
        with pytest.raises(ObjectsUnavailable):
            await draft.write(bytes(5 * 1024 * 1024))


async def test_a_sweep_removes_old_drafts_and_nothing_else(tmp_path: Path) -> None:
    objects = FileObjects(tmp_path)
    digest = await keep(objects, b"an object")
    old, new = tmp_path / "incoming" / "old", tmp_path / "incoming" / "new"
    for left in (old, new, objects.path(digest)):
        left.touch()
    for path in (old, objects.path(digest)):
        os.utime(path, (0, 0))

    await objects.sweep()

    assert not old.exists()
    assert new.exists()
    assert await objects.read(digest) == b"an object"


async def test_whoever_comes_as_a_lot_ends_is_served_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.store.disk.os.fsync", lambda _: None)
    objects = FileObjects(tmp_path)

    async def one_after_another(sender: int) -> None:
        for number in range(100):
            await keep(objects, b"%d %d" % (sender, number))

    await asyncio.gather(*(one_after_another(sender) for sender in range(4)))

    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 400


async def test_one_draft_that_the_disk_does_not_take_leaves_the_others_of_its_lot_alone(tmp_path: Path) -> None:
    objects = FileObjects(tmp_path)
    digests = [hashlib.sha256(content).hexdigest() for content in (b"one", b"two", b"three")]
    (tmp_path / digests[1][:3]).write_text("a file where the folder should be")

    kept = await asyncio.gather(
        *(keep(objects, content) for content in (b"one", b"two", b"three")), return_exceptions=True
    )

    assert [kept[0], kept[2]] == [digests[0], digests[2]]
    assert isinstance(kept[1], ObjectsUnavailable)
    assert not list((tmp_path / "incoming").iterdir())


@pytest.mark.parametrize("step", range(0, 40, 3))
async def test_whichever_step_fails_what_is_said_to_be_kept_is_there_and_forced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """A lot of eight has 8 writes, 8 new folders, 8 renames, and forces 8 files, 8 folders and the root."""
    contents = [b"%d" % number for number in range(8)]
    steps = itertools.count()
    forced: set[Path] = set()
    objects = FileObjects(tmp_path)
    (tmp_path / "incoming").mkdir()

    def failing(target: object, name: str, noted: Callable[..., None] = lambda *_: None) -> None:
        real = getattr(target, name)

        def call(*arguments: Any, **named: Any) -> Any:
            if next(steps) == step:
                raise OSError(5, "Input/output error")
            result = real(*arguments, **named)
            noted(*arguments)
            return result

        monkeypatch.setattr(target, name, call)

    failing(disk, "write_file")
    failing(disk, "force_folder", forced.add)
    failing(Path, "rename")
    failing(Path, "mkdir")

    kept = await asyncio.gather(*(keep(objects, content) for content in contents), return_exceptions=True)

    for content, digest in zip(contents, kept, strict=True):
        if isinstance(digest, str):
            assert objects.path(digest).read_bytes() == content
            assert {objects.path(digest).parent, tmp_path} <= forced
        else:
            assert isinstance(digest, ObjectsUnavailable)
    assert not list((tmp_path / "incoming").iterdir())
