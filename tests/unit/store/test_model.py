"""Rules that need no database."""

from __future__ import annotations

import hashlib
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from services.store.model import series_digest

PAIRS = st.lists(st.tuples(st.from_regex(r"1(\.[1-9][0-9]{0,5}){1,8}", fullmatch=True), st.just("a" * 64)))


def test_the_digest_of_a_set_is_the_sha256_of_its_sorted_lines() -> None:
    expected = hashlib.sha256(f"1.2.10 {'b' * 64}\n1.2.3 {'a' * 64}\n".encode()).hexdigest()

    assert series_digest([("1.2.3", "a" * 64), ("1.2.10", "b" * 64)]) == expected


@given(PAIRS, st.randoms())
def test_the_order_of_a_set_does_not_matter(pairs: list[tuple[str, str]], random: Random) -> None:
    shuffled = list(pairs)
    random.shuffle(shuffled)

    assert series_digest(pairs) == series_digest(shuffled)


def test_another_object_under_the_same_uid_is_another_set() -> None:
    assert series_digest([("1.2.3", "a" * 64)]) != series_digest([("1.2.3", "b" * 64)])
