import os
from pathlib import Path

import pytest

from services.archive.adapters.nearby import NearbyObjects
from services.store.errors import ObjectMissing
from services.store.file_objects import FileObjects
from services.store.memory import MemoryObjects

CONTENT = bytes(range(256)) * 40


async def kept(store: FileObjects | MemoryObjects) -> str:
    draft = store.draft()
    await draft.write(CONTENT)
    draft.seal()
    return await store.keep(draft)


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> FileObjects | MemoryObjects:
    """A store that has files, and one that has none."""
    return FileObjects(tmp_path) if request.param == "file" else MemoryObjects()


@pytest.mark.parametrize(("offset", "length"), [(0, 10), (5, 1), (10_000, 240), (10_000, 1000), (0, None), (20_000, 5)])
async def test_a_range_is_what_the_store_has_there(
    store: FileObjects | MemoryObjects, offset: int, length: int | None
) -> None:
    digest = await kept(store)
    objects = NearbyObjects(store)
    end = None if length is None else offset + length
    assert await objects.read(digest, offset, length) == CONTENT[offset:end]
    assert b"".join([each async for each in objects.stream(digest, offset, length)]) == CONTENT[offset:end]


async def test_a_missing_object_is_told(store: FileObjects | MemoryObjects) -> None:
    with pytest.raises(ObjectMissing):
        await NearbyObjects(store).read("0" * 64, 0, 10)


async def test_what_is_not_in_memory_is_read_by_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FileObjects(tmp_path)
    digest = await kept(store)

    def not_cached(*_: object) -> int:
        raise BlockingIOError

    monkeypatch.setattr(os, "preadv", not_cached)
    assert await NearbyObjects(store).read(digest, 1, 3) == CONTENT[1:4]
