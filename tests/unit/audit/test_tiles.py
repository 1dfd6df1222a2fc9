"""Tiles: where they lie, what is in them, and that a tree read out of them is the tree."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.audit import merkle, tiles
from services.audit.tiles import ENTRIES, Tile, TileMissingError, TreeOfTiles


def leaves(start: int, end: int) -> list[bytes]:
    return [hashlib.sha256(b"%d" % each).digest() for each in range(start, end)]


class Folder:
    """Tiles in memory; as a log may, it has only the widest of each place."""

    def __init__(self) -> None:
        self.held: dict[Tile, bytes] = {}

    def read(self, tile: Tile) -> bytes:
        data = self.held.get(tile.wide(tiles.WIDTH), b"")
        if len(data) < tile.width * tile.unit:
            raise TileMissingError(tile)
        return data[: tile.width * tile.unit]

    def write(self, written: dict[Tile, bytes]) -> None:
        self.held |= {tile.wide(tiles.WIDTH): data for tile, data in written.items()}


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 0), "tile/0/000"),
        (Tile(0, 1234067), "tile/0/x001/x234/067"),
        (Tile(0, 273, 112), "tile/0/273.p/112"),
        (Tile(63, 5000, 1), "tile/63/x005/000.p/1"),
        (Tile(ENTRIES, 67, 8), "tile/entries/067.p/8"),
    ],
)
def test_a_tile_lies_where_the_specification_says(tile: Tile, path: str) -> None:
    assert tile.path == path
    assert Tile.parse(path) == tile


@pytest.mark.parametrize(
    "path",
    ["", "tile/0/0", "tile/00/000", "tile/64/000", "tile/0/x000/001", "tile/0/000.p/0", "tile/0/000.p/256",
     "tile/0/000.p/08", "tile/0/../000", "tile/-1/000", "checkpoint", "tile/0/000/", "tile/0/x00a/000"],
)  # fmt: skip
def test_what_is_no_path_of_a_tile_is_none(path: str) -> None:
    assert Tile.parse(path) is None


def test_a_tree_of_70_000_has_the_tiles_that_the_specification_counts() -> None:
    folder = Folder()
    written = tiles.grow(0, leaves(0, 70_000), folder.read)
    of_level = {level: [tile.width for tile in written if tile.level == level] for level in (ENTRIES, 0, 1, 2, 3)}
    assert of_level[0] == [256] * 273 + [112] == of_level[ENTRIES]
    assert (of_level[1], of_level[2], of_level[3]) == ([256, 17], [1], [])
    assert list(tiles.last_tiles(256)) == [Tile(ENTRIES, 0), Tile(0, 0), Tile(1, 0, 1)]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 700), min_size=1, max_size=4), st.data())
def test_whatever_the_steps_the_tree_of_the_tiles_is_the_tree(steps: list[int], data: st.DataObject) -> None:
    folder, size = Folder(), 0
    for step in steps:
        folder.write(tiles.grow(size, leaves(size, size + step), folder.read))
        size += step
    hashes = [merkle.leaf_hash(leaf) for leaf in leaves(0, size)]
    tree = TreeOfTiles(size, folder.read)
    assert tree.root == merkle.root_of(hashes)
    assert tree.frontier == merkle.Frontier().extend(hashes)
    if size:
        index = data.draw(st.integers(0, size - 1))
        assert tree.leaf(index) == leaves(index, index + 1)[0]
        path = merkle.inclusion_path(index, size, tree.range_hash)
        assert merkle.root_by_inclusion(hashes[index], index, size, path) == tree.root


def test_a_tile_that_is_missing_is_named() -> None:
    folder = Folder()
    folder.write(tiles.grow(0, leaves(0, 300), folder.read))
    del folder.held[Tile(0, 1)]
    with pytest.raises(TileMissingError) as raised:
        TreeOfTiles(300, folder.read).root  # noqa: B018  # reading it is the test
    assert raised.value.tile == Tile(0, 1, 44)
