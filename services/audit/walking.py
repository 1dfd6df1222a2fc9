"""The tiles beside the records: as leaves come by in order, every file that should hold something of them is compared.

Blocking, as its files are.
"""

from __future__ import annotations

from collections.abc import Sequence

from services.audit import merkle, tiles
from services.audit.model import Break, Flaw
from services.audit.ports import Tiles
from services.audit.tiles import ENTRIES, WIDTH, Tile, TileMissingError, TreeOfTiles


class TileCheck:
    """A comparison of the tiles of a tree of `size` with its leaves, from the leaf `start` on."""

    def __init__(self, start: int, size: int, folder: Tiles) -> None:
        self._count = start
        self._size = size
        self._folder = folder
        tree = TreeOfTiles(start, folder.read)
        self._leaves = [tree.leaf(index) for index in range(start - start % WIDTH, start)]
        self._levels: list[list[bytes]] = []
        """Of each level from 1 on, the hashes of the tile at its right edge."""
        level, above = 1, start // WIDTH
        while above:
            kept = above % WIDTH
            data = folder.read(Tile(level, above // WIDTH, kept)) if kept else b""
            self._levels.append(tiles.elements(data))
            level, above = level + 1, above // WIDTH

    def add(self, leaves: Sequence[bytes]) -> Break | None:
        """More leaves came by; those behind the tree that was signed are in no tile yet."""
        for leaf in leaves[: max(self._size - self._count, 0)]:
            self._leaves.append(leaf)
            self._count += 1
            if len(self._leaves) == WIDTH:
                if found := self._compare_leaves():
                    return found
                root = merkle.root_of([merkle.leaf_hash(each) for each in self._leaves])
                self._leaves = []
                if found := self._push(root):
                    return found
        return None

    def finish(self) -> Break | None:
        """The partial tiles at the right edge."""
        if self._leaves and (found := self._compare_leaves()):
            return found
        for level, hashes in enumerate(self._levels, 1):
            if hashes and (found := self._compare(level, self._count, hashes)):
                return found
        return None

    def _push(self, root: bytes) -> Break | None:
        for level in range(1, len(self._levels) + 2):
            if level > len(self._levels):
                self._levels.append([])
            hashes = self._levels[level - 1]
            hashes.append(root)
            if len(hashes) < WIDTH:
                return None
            if found := self._compare(level, self._count, hashes):
                return found
            root = merkle.root_of(hashes)
            hashes.clear()
        return None

    def _compare_leaves(self) -> Break | None:
        hashes = [merkle.leaf_hash(each) for each in self._leaves]
        return self._compare(0, self._count, hashes) or self._compare(ENTRIES, self._count, self._leaves)

    def _compare(self, level: int, count: int, elements: Sequence[bytes]) -> Break | None:
        """Compare everything that lies at the place of the last tile of a tree of `count` leaves."""
        span = WIDTH ** max(level, 0)
        tile = Tile(level, (count // span - 1) // WIDTH, len(elements))
        expected = tiles.bundle(elements) if level == ENTRIES else b"".join(elements)
        try:
            self._folder.read(tile)
        except TileMissingError:
            return self._at(tile, 0, len(elements))
        for copy, data in self._folder.copies(tile):
            # One that is wider than the tree was written since.
            wanted = expected[: copy.width * copy.unit]
            if len(data) != copy.width * copy.unit and data[: len(wanted)] == wanted:
                return self._at(tile, min(len(data), len(wanted) - 1) // tile.unit, 1)
            if data[: len(wanted)] != wanted:
                differing = next(at for at, each in enumerate(wanted) if data[at : at + 1] != wanted[at : at + 1])
                return self._at(tile, differing // tile.unit, 1)
        return None

    @staticmethod
    def _at(tile: Tile, element: int, count: int) -> Break:
        first = (tile.index * WIDTH + element) * tile.span
        return Break(first + 1, Flaw.TILE, first + count * tile.span)
