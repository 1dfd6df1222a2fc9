"""The Merkle tree, against the vectors of the certificate-transparency reference and against its own definition."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.audit import merkle
from services.audit.merkle import EMPTY_ROOT, Frontier, ProofError

# certificate-transparency: kInputs and kSHA256Roots, used by most implementations of RFC 6962
INPUTS = [
    bytes.fromhex(each)
    for each in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
INCLUSION = {
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    (0, 1): [],
}
CONSISTENCY = {
    (1, 1): [],
    (1, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
LEAVES = [merkle.leaf_hash(each) for each in INPUTS]


def as_defined(hashes: Sequence[bytes]) -> bytes:
    """`MTH` word for word as section 2.1 has it, over leaf hashes."""
    if not hashes:
        return hashlib.sha256().digest()
    if len(hashes) == 1:
        return hashes[0]
    middle = next(1 << bit for bit in reversed(range(20)) if 1 << bit < len(hashes))
    return hashlib.sha256(b"\x01" + as_defined(hashes[:middle]) + as_defined(hashes[middle:])).digest()


def tree(size: int) -> list[bytes]:
    return [merkle.leaf_hash(bytes([each])) for each in range(size)]


def test_the_empty_tree_and_the_eight_known_leaves_have_the_published_roots() -> None:
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert Frontier().root == EMPTY_ROOT
    assert [merkle.root_of(LEAVES[: size + 1]).hex() for size in range(8)] == ROOTS


@pytest.mark.parametrize(("index", "size"), INCLUSION)
def test_the_published_inclusion_proofs_are_made_and_hold(index: int, size: int) -> None:
    path = merkle.inclusion_path(index, size, lambda start, end: merkle.root_of(LEAVES[start:end]))
    assert [each.hex() for each in path] == INCLUSION[index, size]
    assert merkle.root_by_inclusion(LEAVES[index], index, size, path).hex() == ROOTS[size - 1]


@pytest.mark.parametrize(("old", "new"), CONSISTENCY)
def test_the_published_consistency_proofs_are_made_and_hold(old: int, new: int) -> None:
    path = merkle.consistency_path(old, new, lambda start, end: merkle.root_of(LEAVES[start:end]))
    assert [each.hex() for each in path] == CONSISTENCY[old, new]
    merkle.check_consistency(old, new, bytes.fromhex(ROOTS[old - 1]), bytes.fromhex(ROOTS[new - 1]), path)


@given(st.integers(0, 70), st.integers(0, 70))
def test_a_tree_grows_as_it_is_defined_in_whatever_pieces(first: int, second: int) -> None:
    hashes = tree(first + second)
    grown = Frontier().extend(hashes[:first]).extend(hashes[first:])
    assert grown.root == as_defined(hashes)
    assert Frontier.from_bytes(grown.size, grown.to_bytes()) == grown
    assert list(grown.hashes) == [as_defined(hashes[start:end]) for start, end in merkle.subtrees(grown.size)]


@given(st.integers(1, 70), st.data())
def test_every_proof_that_is_made_holds_and_no_other_does(size: int, data: st.DataObject) -> None:
    hashes = tree(size)
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, size))
    inclusion = merkle.inclusion_path(index, size, lambda start, end: as_defined(hashes[start:end]))
    assert merkle.root_by_inclusion(hashes[index], index, size, inclusion) == as_defined(hashes)
    consistency = merkle.consistency_path(old, size, lambda start, end: as_defined(hashes[start:end]))
    merkle.check_consistency(old, size, as_defined(hashes[:old]), as_defined(hashes), consistency)
    with pytest.raises(ProofError):
        merkle.root_by_inclusion(hashes[index], index, size, [*inclusion, bytes(32)])
    with pytest.raises(ProofError):
        merkle.check_consistency(old, size, bytes(32), as_defined(hashes), consistency)
    if inclusion:
        with pytest.raises(ProofError):
            merkle.root_by_inclusion(hashes[index], index, size, inclusion[:-1])
    if old:
        with pytest.raises(ProofError):
            merkle.check_consistency(old, size, as_defined(hashes[:old]), bytes(32), consistency)


def test_a_tree_that_became_smaller_is_not_consistent() -> None:
    with pytest.raises(ProofError):
        merkle.check_consistency(8, 7, bytes.fromhex(ROOTS[7]), bytes.fromhex(ROOTS[6]), [])


def test_hashes_that_are_no_frontier_are_refused() -> None:
    with pytest.raises(ValueError, match="frontier"):
        Frontier(3, (bytes(32),))
