"""The tree as static tiles (C2SP tlog-tiles): which there are, what is in them, and hashes out of them. Pure.

A tile of level L holds up to 256 hashes of whole subtrees of 256^L leaves, side by side. An entry bundle holds the
leaves themselves; ours are commitments of 32 bytes each.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from services.audit import merkle
from services.audit.merkle import HASH_BYTES, Frontier

WIDTH = 256
ENTRIES = -1
"""In place of a level: a bundle of entries."""
LEAF_BYTES = 32
_ENTRY_BYTES = 2 + LEAF_BYTES
_TOP = 63
_PATH = re.compile(r"tile/(entries|[0-9]|[1-5][0-9]|6[0-3])/((?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")


class TileMissingError(LookupError):
    """A tile that the tree needs is not there, or not as long as it has to be."""

    def __init__(self, tile: Tile) -> None:
        super().__init__(f"{tile.path} is not there")
        self.tile = tile


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile, by its place; `level` is `ENTRIES` for a bundle."""

    level: int
    index: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        """Its path below the log's prefix, such as `tile/0/x001/x234/067.p/8`."""
        level = "entries" if self.level == ENTRIES else str(self.level)
        partial = "" if self.width == WIDTH else f".p/{self.width}"
        rest, last = divmod(self.index, 1000)
        number = f"{last:03}"
        while rest:
            rest, part = divmod(rest, 1000)
            number = f"x{part:03}/{number}"
        return f"tile/{level}/{number}{partial}"

    @classmethod
    def parse(cls, path: str) -> Tile | None:
        """The tile of a path, which is the only one that it has; `None` if it is of none."""
        found = _PATH.fullmatch(path)
        if not found:
            return None
        level = ENTRIES if found[1] == "entries" else int(found[1])
        tile = cls(level, int(re.sub(r"[x/]", "", found[2])), int(found[3] or WIDTH))
        return tile if tile.path == path else None

    @property
    def unit(self) -> int:
        """How many bytes one element has."""
        return _ENTRY_BYTES if self.level == ENTRIES else HASH_BYTES

    @property
    def span(self) -> int:
        """How many leaves one element stands for."""
        return int(WIDTH ** max(self.level, 0))

    def wide(self, width: int) -> Tile:
        """The same place, of another width."""
        return Tile(self.level, self.index, width)


ReadTile = Callable[[Tile], bytes]
"""The content of a tile, exactly as wide as asked for; raises `TileMissingError`."""


def last_tiles(size: int) -> Iterator[Tile]:
    """The tiles at the right edge of a tree, one a level, and the bundle; the last full one where none is partial."""
    if size:
        yield Tile(ENTRIES, (size - 1) // WIDTH, (size - 1) % WIDTH + 1)
    level = 0
    while size and level <= _TOP:
        yield Tile(level, (size - 1) // WIDTH, (size - 1) % WIDTH + 1)
        size //= WIDTH
        level += 1


def bundle(leaves: Sequence[bytes]) -> bytes:
    """Leaves as entry bundles have them: each behind its length."""
    return b"".join(len(leaf).to_bytes(2) + leaf for leaf in leaves)


def grow(size: int, leaves: Sequence[bytes], read: ReadTile) -> dict[Tile, bytes]:
    """The tiles to write when a tree of `size` gets more leaves.

    Raises:
        TileMissingError: a tile at the right edge is not there.
    """
    written: dict[Tile, bytes] = {}
    if not leaves:
        return written
    _append(written, ENTRIES, size, bundle(leaves), read)
    hashes, level = [merkle.leaf_hash(leaf) for leaf in leaves], 0
    while hashes:
        full = _append(written, level, size, b"".join(hashes), read)
        hashes = [merkle.root_of(elements(each)) for each in full]
        size, level = size // WIDTH, level + 1
    return written


def _append(written: dict[Tile, bytes], level: int, count: int, more: bytes, read: ReadTile) -> list[bytes]:
    """Add to the right edge of a level that has `count` elements; gives the tiles that are full now."""
    first, kept = divmod(count, WIDTH)
    data = (read(Tile(level, first, kept)) if kept else b"") + more
    step = WIDTH * Tile(level, 0).unit
    full = []
    for at in range(0, len(data), step):
        content = data[at : at + step]
        tile = Tile(level, first + at // step)
        written[tile.wide(len(content) // tile.unit)] = content
        if len(content) == step:
            full.append(content)
    return full


def elements(data: bytes) -> list[bytes]:
    """The hashes of a tile."""
    return [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]


def leaves_of(data: bytes) -> list[bytes]:
    """The leaves of an entry bundle of ours."""
    return [data[at + 2 : at + _ENTRY_BYTES] for at in range(0, len(data), _ENTRY_BYTES)]


class TreeOfTiles:
    """Hashes of a tree of some size, out of its tiles."""

    def __init__(self, size: int, read: ReadTile) -> None:
        self.size = size
        self._read = read
        self._held: dict[Tile, bytes] = {}

    def range_hash(self, start: int, end: int) -> bytes:
        """`MTH(D[start:end])`; see `merkle.RangeHash`."""
        count = end - start
        if count <= 0:
            return merkle.EMPTY_ROOT
        if count & (count - 1):
            middle = start + merkle.split(count)
            return merkle.node_hash(self.range_hash(start, middle), self.range_hash(middle, end))
        level, height = divmod(count.bit_length() - 1, 8)
        tile, at = divmod(start >> 8 * level, WIDTH)
        data = self._tile(level, tile)
        return merkle.root_of(elements(data)[at : at + (1 << height)])

    def leaf(self, index: int) -> bytes:
        """The leaf at a place."""
        tile, at = divmod(index, WIDTH)
        return leaves_of(self._tile(ENTRIES, tile))[at]

    @property
    def root(self) -> bytes:
        """The root of the tree."""
        return self.range_hash(0, self.size)

    @property
    def frontier(self) -> Frontier:
        """The frontier of the tree."""
        return Frontier(self.size, tuple(self.range_hash(*each) for each in merkle.subtrees(self.size)))

    def _tile(self, level: int, index: int) -> bytes:
        width = min(WIDTH, (self.size >> 8 * max(level, 0)) - index * WIDTH)
        tile = Tile(level, index, width)
        if tile not in self._held:
            self._held[tile] = self._read(tile)
        return self._held[tile]
