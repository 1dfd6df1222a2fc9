import zlib
from collections.abc import AsyncIterator

import brotli  # type: ignore[import-untyped]  # it publishes no types
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from services.archive.packing import Coding, coding_of, packed, packing

UNPACK = {
    Coding.IDENTITY: lambda data: data,
    Coding.GZIP: lambda data: zlib.decompress(data, wbits=31),
    Coding.BROTLI: brotli.decompress,
    Coding.ZSTD: lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
}


@pytest.mark.parametrize(
    ("header", "coding"),
    [
        (None, Coding.IDENTITY),
        ("", Coding.IDENTITY),
        ("identity", Coding.IDENTITY),
        ("deflate", Coding.IDENTITY),
        ("gzip, deflate", Coding.GZIP),
        ("x-gzip", Coding.GZIP),
        ("GZIP", Coding.GZIP),
        ("gzip, deflate, br", Coding.BROTLI),
        ("gzip, deflate, br, zstd", Coding.ZSTD),
        ("gzip;q=1.0, br;q=0.5, zstd; q=0.1", Coding.GZIP),
        ("*", Coding.ZSTD),
        ("zstd;q=0, *", Coding.BROTLI),
        ("gzip;q=0, *;q=0", Coding.IDENTITY),
        ("identity;q=0", Coding.IDENTITY),
        ("gzip;q=0.5, identity;q=0.8", Coding.IDENTITY),
        ("br;q=nonsense", Coding.BROTLI),
        (", ,;q=1,gzip", Coding.GZIP),
    ],
)
def test_the_coding_that_the_client_likes_best_is_chosen(header: str | None, coding: Coding) -> None:
    assert coding_of(header) is coding


WEIGHTS = st.sampled_from([0.0, 0.1, 0.5, 1.0])


@given(st.dictionaries(st.sampled_from([*Coding, "*", "deflate"]), WEIGHTS))
def test_a_coding_is_chosen_as_the_rules_say(weights: dict[str, float]) -> None:
    header = ", ".join(f"{name};q={weight}" for name, weight in weights.items())
    chosen = coding_of(header)
    liked = {coding: weights.get(coding, weights.get("*", 0.0)) for coding in (Coding.ZSTD, Coding.BROTLI, Coding.GZIP)}
    liked[Coding.IDENTITY] = weights.get(Coding.IDENTITY, 0.0)
    if chosen is Coding.IDENTITY:
        assert all(weight == 0 or weight < liked[Coding.IDENTITY] for weight in list(liked.values())[:3])
    else:
        assert liked[chosen] > 0
        assert liked[chosen] == max(liked.values())


@given(st.lists(st.binary(max_size=300), max_size=6), st.sampled_from(Coding))
async def test_a_body_is_the_same_when_it_is_unpacked(chunks: list[bytes], coding: Coding) -> None:
    async def made() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    streamed = b"".join([each async for each in packing(made(), coding)])
    assert UNPACK[coding](streamed) == b"".join(chunks)


@pytest.mark.parametrize("coding", Coding)
@pytest.mark.parametrize("size", [10, 5000, 200_000])
async def test_a_whole_body_is_packed_unless_it_is_small(coding: Coding, size: int) -> None:
    body, made = await packed(b"x" * size, coding)
    assert made is (coding if size > 1000 else Coding.IDENTITY)
    assert UNPACK[made](body) == b"x" * size
