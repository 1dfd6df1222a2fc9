"""What every object store does, the fake and the real ones alike."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from services.store.drafts import MEMORY_BYTES, Draft
from services.store.errors import ObjectMissing
from services.store.file_objects import FileObjects
from services.store.memory import MemoryObjects
from services.store.objects import ObjectStore

Open = Callable[[], ObjectStore]


@pytest.fixture(params=["memory", "file"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return MemoryObjects() if request.param == "memory" else FileObjects(tmp_path / "objects")


async def kept(objects: ObjectStore, data: bytes, *, piece: int = 1000) -> str:
    async with objects.draft() as draft:
        for at in range(0, len(data), piece):
            await draft.write(data[at : at + piece])
        draft.seal()
        return await objects.keep(draft)


async def test_an_object_is_named_by_its_sha256_and_comes_out_as_it_went_in(objects: ObjectStore) -> None:
    data = bytes(range(256)) * 20

    digest = await kept(objects, data)

    assert digest == hashlib.sha256(data).hexdigest()
    assert await objects.read(digest) == data


@pytest.mark.parametrize("size", [0, 1, MEMORY_BYTES, MEMORY_BYTES + 1, 3 * MEMORY_BYTES + 7])
async def test_any_size_goes_in(objects: ObjectStore, size: int) -> None:
    data = bytes(size)

    digest = await kept(objects, data, piece=256 * 1024)

    assert await objects.read(digest) == data


async def test_the_same_bytes_again_are_the_same_object(objects: ObjectStore) -> None:
    assert await kept(objects, b"once") == await kept(objects, b"once")


async def test_the_same_bytes_at_once_are_one_object(objects: ObjectStore) -> None:
    data = bytes(100_000)

    digests = await asyncio.gather(*(kept(objects, data, piece=9999) for _ in range(20)))

    assert len(set(digests)) == 1
    assert await objects.read(digests[0]) == data


@pytest.mark.parametrize(
    ("offset", "length", "expected"),
    [(0, 3, b"012"), (3, 4, b"3456"), (8, 100, b"89"), (20, 5, b""), (4, None, b"456789"), (0, 0, b"")],
)
async def test_a_range_is_what_lies_in_it(
    objects: ObjectStore, offset: int, length: int | None, expected: bytes
) -> None:
    digest = await kept(objects, b"0123456789")

    assert await objects.read(digest, offset, length) == expected
    assert b"".join([chunk async for chunk in objects.stream(digest, offset, length, chunk=3)]) == expected


async def test_a_stream_comes_in_chunks(objects: ObjectStore) -> None:
    digest = await kept(objects, bytes(10))

    assert [len(chunk) async for chunk in objects.stream(digest, chunk=4)] == [4, 4, 2]


async def test_an_object_that_is_not_there_is_missing(objects: ObjectStore) -> None:
    with pytest.raises(ObjectMissing):
        await objects.read("0" * 64)
    with pytest.raises(ObjectMissing):
        async for _ in objects.stream("0" * 64):
            pass


async def test_a_draft_that_was_not_kept_leaves_nothing(objects: ObjectStore, tmp_path: Path) -> None:
    async with objects.draft() as draft:
        await draft.write(bytes(MEMORY_BYTES + 1))
        draft.seal()
        digest = draft.digest

    assert isinstance(draft, Draft)
    assert draft.content == b""
    with pytest.raises(ObjectMissing):
        await objects.read(digest)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


async def test_a_path_is_a_file_with_the_bytes_where_there_is_one(objects: ObjectStore) -> None:
    path = objects.path(await kept(objects, b"bytes"))

    assert path is None or path.read_bytes() == b"bytes"


async def test_an_object_is_removed_once_nobody_has_touched_it_for_a_while(objects: ObjectStore) -> None:
    digest = await kept(objects, b"discarded")

    assert not await objects.remove(digest, untouched_seconds=60)
    assert await objects.read(digest) == b"discarded"
    assert await objects.remove(digest, untouched_seconds=0)
    with pytest.raises(ObjectMissing):
        await objects.read(digest)
    assert await objects.remove(digest, untouched_seconds=0)  # it need not be there


async def test_what_comes_back_while_it_is_removed_is_there_in_the_end(objects: ObjectStore) -> None:
    data = b"back again"
    digest = await kept(objects, data)
    for _ in range(20):
        await asyncio.gather(objects.remove(digest, untouched_seconds=60), kept(objects, data))
        assert await objects.read(digest) == data
