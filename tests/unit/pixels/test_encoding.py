"""What is encoded here comes back as it was, whatever it is; and is what the transfer syntax asks for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import openjpeg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.dicom.transfer_syntaxes import ALL, EXPLICIT_LITTLE_ENDIAN, lookup
from services.pixels import codestreams, syntaxes
from services.pixels.decoding import Decoded, decode
from services.pixels.description import Description
from services.pixels.encoding import encode
from services.pixels.errors import Unencodable
from services.pixels.syntaxes import ABILITIES
from services.pixels.table import table

LOSSLESS = [uid for uid in ABILITIES if syntaxes.lossless(uid)]
HTJ2K = (syntaxes.HTJ2K, syntaxes.HTJ2K_LOSSLESS, syntaxes.HTJ2K_LOSSLESS_RPCL)


def name_of(uid: str) -> str:
    """A short test id."""
    syntax = lookup(uid)
    return syntax.name if syntax else uid


@st.composite
def descriptions(draw: st.DrawFn) -> Description:
    """Integer pixels of any kind and size, the narrowest ones too."""
    allocated = draw(st.sampled_from((1, 8, 16, 32)))
    colour = allocated > 1 and draw(st.booleans())
    photometrics = ("RGB", "YBR_FULL") if colour else ("MONOCHROME1", "MONOCHROME2")
    return Description(
        rows=draw(st.integers(1, 40)),
        columns=draw(st.integers(1, 40)),
        samples=3 if colour else 1,
        allocated=allocated,
        stored=draw(st.integers(max(allocated - 7, 1), allocated)),
        signed=allocated > 1 and draw(st.booleans()),
        photometric=draw(st.sampled_from(photometrics)),
        planar=colour and draw(st.booleans()),
    )


def pixels(description: Description, seed: int, *, noisy: bool = True) -> NDArray[Any]:
    """Pixels that use all the values they may have."""
    shape = (description.rows, description.columns, description.samples)[: 2 if description.samples == 1 else 3]
    high = 1 << description.stored - description.signed
    low = -high if description.signed else 0
    if noisy:
        return np.random.default_rng(seed).integers(low, high, shape, dtype=description.cell)
    return np.full(shape, low if seed % 2 else high - 1, dtype=description.cell)


@pytest.mark.parametrize("uid", LOSSLESS, ids=name_of)
@settings(max_examples=60, deadline=None)
@given(description=descriptions(), seed=st.integers(0, 2**32 - 1), noisy=st.booleans())
def test_encoded_and_decoded_it_is_as_it_was(uid: str, description: Description, seed: int, noisy: bool) -> None:
    if not syntaxes.encodable(uid, description):
        with pytest.raises(Unencodable):
            encode(Decoded(pixels(description, seed), description.photometric), uid, description)
        return
    before = Decoded(pixels(description, seed, noisy=noisy), description.photometric)
    encoded = encode(before, uid, description)
    after = decode(encoded.data, uid, replace(description, photometric=encoded.photometric))
    np.testing.assert_array_equal(after.array, before.array)
    assert (after.array.dtype, after.photometric) == (before.array.dtype, before.photometric)
    assert len(encoded.data) % 2 == 0 or syntaxes.native(uid) or ABILITIES[uid].codec is syntaxes.Codec.NATIVE


@pytest.mark.parametrize("uid", LOSSLESS, ids=name_of)
def test_bits_beyond_bits_stored_are_kept(uid: str) -> None:
    description = Description(16, 16, allocated=16, stored=12)
    overlaid = pixels(replace(description, stored=16), 1)
    encoded = encode(Decoded(overlaid, "MONOCHROME2"), uid, description)
    np.testing.assert_array_equal(decode(encoded.data, uid, description).array, overlaid)


@pytest.mark.parametrize("uid", HTJ2K)
@pytest.mark.parametrize("shape", [(64, 64), (512, 512), (3000, 200), (5, 4097)])
def test_htj2k_has_the_order_and_the_levels_that_its_transfer_syntax_asks_for(uid: str, shape: tuple[int, int]) -> None:
    """PS3.5 10.18: RPCL, tile-part lengths, and a lowest resolution of at most 64 pixels."""
    data = encode(Decoded(np.zeros(shape, np.uint16), "MONOCHROME2"), uid, Description(*shape)).data
    coding = data[data.index(b"\xff\x52") :]
    order, levels = coding[5], coding[9]
    assert order == 2
    assert max(shape) >> levels <= 64
    assert b"\xff\x55" in data


def test_other_libraries_read_our_htj2k() -> None:
    description = Description(37, 51, allocated=16, stored=12)
    array = pixels(description, 3)
    data = encode(Decoded(array, "MONOCHROME2"), syntaxes.HTJ2K_LOSSLESS_RPCL, description).data
    np.testing.assert_array_equal(openjpeg.decode(data), array)  # type: ignore[attr-defined]  # it says no names


def test_lossless_jpeg_predicts_from_the_left_and_has_the_bits_stored() -> None:
    """PS3.5 10.2: process 14, selection value 1."""
    description = Description(8, 8, allocated=16, stored=12)
    data = encode(Decoded(pixels(description, 1), "MONOCHROME2"), syntaxes.JPEG_LOSSLESS_SV1, description).data
    assert codestreams.jpeg(data).precision == 12
    scan = data[data.index(b"\xff\xda") :]
    assert scan[7] == 1


@pytest.mark.parametrize("uid", [syntaxes.JPEG_2000, syntaxes.HTJ2K])
def test_where_a_transfer_syntax_leaves_it_open_nothing_is_lost(uid: str) -> None:
    assert syntaxes.lossless(uid)


def test_jpeg_baseline_is_near_and_subsampled_and_for_eight_unsigned_bits_only() -> None:
    rows = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
    colours = Decoded(np.stack([rows, rows.T + 50, 255 - rows], -1), "RGB")
    description = Description(64, 64, 3, 8, 8, photometric="RGB")
    encoded = encode(colours, syntaxes.JPEG_BASELINE, description)
    assert encoded.photometric == "YBR_FULL_422"
    assert b"JFIF" in encoded.data[:20]
    after = decode(encoded.data, syntaxes.JPEG_BASELINE, replace(description, photometric=encoded.photometric))
    assert after.photometric == "YBR_FULL"
    for refused in (
        Description(64, 64),
        Description(64, 64, 1, 8, 8, signed=True),
        Description(64, 64, 1, 8, 8, photometric="PALETTE COLOR"),
    ):
        assert not syntaxes.encodable(syntaxes.JPEG_BASELINE, refused)


def test_targets_begin_with_what_all_take_and_leave_out_what_is_stored() -> None:
    targets = syntaxes.targets(syntaxes.JPEG_LS_LOSSLESS, Description(8, 8))
    assert targets[0] == EXPLICIT_LITTLE_ENDIAN
    assert syntaxes.JPEG_LS_LOSSLESS not in targets
    assert syntaxes.JPEG_BASELINE not in targets
    assert syntaxes.targets("1.2.840.10008.1.2.4.102", Description(8, 8, 3, 8, 8)) == ()
    assert all(syntaxes.native(uid) for uid in syntaxes.targets(EXPLICIT_LITTLE_ENDIAN, None))


def test_the_table_has_a_row_for_each_transfer_syntax_that_is_stored() -> None:
    heading, rule, *rows = table().splitlines()
    assert len(rows) == len(ALL)
    assert all(line.count("|") == heading.count("|") == rule.count("|") for line in rows)
    (baseline,) = (row for row in rows if "4.50`" in row)
    assert baseline.endswith("| 8 | 8; lossy: a derived image with its own UID |")
    (video,) = (row for row in rows if "4.102`" in row)
    assert video.endswith("| yes | – | – | – |")
