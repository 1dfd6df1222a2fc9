"""The Merkle tree of RFC 6962, section 2.1 (the same in RFC 9162, section 2.1). Pure functions.

A proof asks for hashes of ranges of leaves, `MTH(D[start:end])`; where they come from (a list, tiles on a disk or from
another site) is the caller's affair.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

HASH_BYTES = 32

EMPTY_ROOT = hashlib.sha256(b"").digest()
"""Of a tree without leaves."""

RangeHash = Callable[[int, int], bytes]
"""`MTH(D[start:end])`, of a range that such a tree splits into."""


class ProofError(ValueError):
    """A proof does not prove what it is said to."""


def leaf_hash(entry: bytes) -> bytes:
    """The hash of a leaf."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of a node above two others."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of(hashes: Sequence[bytes]) -> bytes:
    """The root over leaf hashes, or over the roots of whole subtrees of one size."""
    return Frontier().extend(hashes).root


@dataclass(frozen=True, slots=True)
class Frontier:
    """As much of a tree as is needed to let it grow: the roots of the whole subtrees that it falls into, largest first.

    Of each bit that is set in `size` there is one.
    """

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what is none."""
        if len(self.hashes) != self.size.bit_count() or any(len(each) != HASH_BYTES for each in self.hashes):
            raise ValueError("these hashes are not the frontier of a tree of that size")

    def extend(self, hashes: Iterable[bytes]) -> Frontier:
        """The frontier with more leaves, by their hashes."""
        size, held = self.size, list(self.hashes)
        for each in hashes:
            node, bits = each, size
            while bits & 1:
                node = node_hash(held.pop(), node)
                bits >>= 1
            held.append(node)
            size += 1
        return Frontier(size, tuple(held))

    @property
    def root(self) -> bytes:
        """The root of the tree."""
        if not self.hashes:
            return EMPTY_ROOT
        *others, root = self.hashes
        for each in reversed(others):
            root = node_hash(each, root)
        return root

    def to_bytes(self) -> bytes:
        """The hashes, one after another."""
        return b"".join(self.hashes)

    @classmethod
    def from_bytes(cls, size: int, data: bytes) -> Frontier:
        """What `to_bytes` gave.

        Raises:
            ValueError: it is none of that size.
        """
        return cls(size, tuple(data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)))


def split(size: int) -> int:
    """The largest power of two that is smaller than `size` (at least 2): where a tree is divided."""
    return 1 << (size - 1).bit_length() - 1


def subtrees(size: int) -> list[tuple[int, int]]:
    """The ranges of the whole subtrees that a tree falls into, largest first: those of its frontier."""
    found, start = [], 0
    for bit in reversed(range(size.bit_length())):
        if size >> bit & 1:
            found.append((start, start + (1 << bit)))
            start += 1 << bit
    return found


def inclusion_path(index: int, size: int, hash_of: RangeHash) -> list[bytes]:
    """`PATH(index, D[size])`: the audit path of section 2.1.1, from the leaf's sibling up."""
    if not 0 <= index < size:
        raise ValueError("the leaf is not in the tree")
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + split(end - start)
        if index < middle:
            path.append(hash_of(middle, end))
            end = middle
        else:
            path.append(hash_of(start, middle))
            start = middle
    return path[::-1]


def root_by_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root that a leaf's hash and its audit path lead to (RFC 9162, 2.1.3.2).

    Raises:
        ProofError: the path is not as long as it has to be.
    """
    if not 0 <= index < size:
        raise ProofError("the leaf is not in the tree")
    node, place, last = leaf, index, size - 1
    for each in path:
        if last == 0:
            raise ProofError("the path is too long")
        if place & 1 or place == last:
            node = node_hash(each, node)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            node = node_hash(node, each)
        place, last = place >> 1, last >> 1
    if last:
        raise ProofError("the path is too short")
    return node


def consistency_path(old: int, new: int, hash_of: RangeHash) -> list[bytes]:
    """`PROOF(old, D[new])` of section 2.1.2: that a tree of `new` leaves begins with that of `old` ones."""
    if not 0 <= old <= new:
        raise ValueError("the older tree is the larger one")
    if old in (0, new):
        return []
    path: list[bytes] = []
    start, end, whole = 0, new, True
    while old != end:
        middle = start + split(end - start)
        if old <= middle:
            path.append(hash_of(middle, end))
            end = middle
        else:
            path.append(hash_of(start, middle))
            start, whole = middle, False
    if not whole:
        path.append(hash_of(start, end))
    return path[::-1]


def check_consistency(old: int, new: int, old_root: bytes, new_root: bytes, path: Sequence[bytes]) -> None:
    """Check what `consistency_path` gave (RFC 9162, 2.1.4.2).

    Raises:
        ProofError: the newer tree does not begin with the older one.
    """
    if old > new:
        raise ProofError("the newer tree is smaller than the older one")
    if old in (0, new):
        if path or (old == new and old_root != new_root) or (old == 0 and old_root != EMPTY_ROOT):
            raise ProofError("two trees of one size have different roots")
        return
    hashes = list(path) if old & (old - 1) else [old_root, *path]
    place, last = old - 1, new - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    if not hashes:
        raise ProofError("the path is too short")
    older = newer = hashes[0]
    for each in hashes[1:]:
        if last == 0:
            raise ProofError("the path is too long")
        if place & 1 or place == last:
            older, newer = node_hash(each, older), node_hash(each, newer)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            newer = node_hash(newer, each)
        place, last = place >> 1, last >> 1
    if last or older != old_root or newer != new_root:
        raise ProofError("the newer tree does not begin with the older one")
