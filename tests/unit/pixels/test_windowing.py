"""Grey levels against the standard's own words (PS3.3 C.11.1, C.11.2), done slowly, one value at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.pixels.rendering.windowing import Function, Greyscale, Lut, Rescale, Window, grey_levels

_CENTERS = st.floats(-5000, 70_000, allow_subnormal=False)
_WIDTHS = st.floats(1, 70_000, allow_subnormal=False)


def by_the_book(x: float, window: Window) -> float:
    """PS3.3 C.11.2.1.2.1, C.11.2.1.3.1 and C.11.2.1.3.2, for output values of 0 to 255."""
    c, w = window.center, window.width
    match window.function:
        case Function.LINEAR:
            if x <= c - 0.5 - (w - 1) / 2:
                return 0
            if x > c - 0.5 + (w - 1) / 2:
                return 255
            return ((x - (c - 0.5)) / (w - 1) + 0.5) * 255
        case Function.LINEAR_EXACT:
            if x <= c - w / 2:
                return 0
            if x > c + w / 2:
                return 255
            return ((x - c) / w + 0.5) * 255
        case Function.SIGMOID:
            exponent = -4 * (x - c) / w
            return 0 if exponent > 700 else 255 / (1 + math.exp(exponent))


@settings(max_examples=60, deadline=None)
@given(
    cells=st.lists(st.integers(0, 65_535), min_size=1, max_size=20),
    stored=st.integers(2, 16),
    signed=st.booleans(),
    slope=st.sampled_from((1.0, 0.5, 2.25, -1.0)),
    intercept=st.integers(-2000, 2000),
    inverse=st.booleans(),
    center=_CENTERS,
    width=_WIDTHS,
    function=st.sampled_from(list(Function)),
)
def test_every_cell_gets_the_level_that_the_formula_says(
    cells: list[int], stored: int, signed: bool, slope: float, intercept: int, inverse: bool, center: float,
    width: float, function: Function,
) -> None:  # fmt: skip
    window = Window(center, width, function)
    how = Greyscale(16, stored, stored - 1, signed, Rescale(slope, intercept), window, inverse)
    levels = grey_levels(np.array([cells], dtype=np.uint16), how)
    for cell, level in zip(cells, levels[0], strict=True):
        value = cell & (1 << stored) - 1
        if signed and value >= 1 << (stored - 1):
            value -= 1 << stored
        expected = by_the_book(value * slope + intercept, window)
        assert abs(int(level) - (255 - expected if inverse else expected)) <= 0.5001


@pytest.mark.parametrize("width", [1, 1.0])
def test_a_linear_window_of_width_1_is_a_threshold(width: float) -> None:
    how = Greyscale(16, 16, 15, signed=True, voi=Window(40, width))
    assert grey_levels(np.array([[38, 39, 40, 41]], dtype=np.int16), how).tolist() == [[0, 0, 255, 255]]


def test_bits_above_and_below_the_stored_ones_are_not_the_pixels() -> None:
    how = Greyscale(16, 8, 11, signed=False, voi=Window(128, 256))
    cells = np.array([[0xF010, 0x0FFF, 0x000F]], dtype=np.uint16)  # 0x01, 0xFF, 0x00 in bits 4 to 11
    assert grey_levels(cells, how).tolist() == [[1, 255, 0]]


@pytest.mark.parametrize(
    ("pixels", "signed"),
    [
        (np.array([[-5, 0, 95]], dtype=np.int16), True),
        (np.array([[-5, 0, 95]], dtype=np.int32), True),
        (np.array([[-5, 0, 95]], dtype=np.float32), True),
        (np.array([[5, 10, 105]], dtype=np.uint8), False),
    ],
)
def test_without_a_window_a_frame_is_spread_from_its_lowest_to_its_highest_value(
    pixels: NDArray[Any], signed: bool
) -> None:
    bits = 8 * pixels.dtype.itemsize
    assert grey_levels(pixels, Greyscale(bits, bits, bits - 1, signed)).tolist() == [[0, 13, 255]]


def test_padding_is_black_and_does_not_count_for_the_spread() -> None:
    pixels = np.array([[-2000, -1990, 0, 100, 200]], dtype=np.int16)
    how = Greyscale(16, 16, 15, signed=True, padding=(-2000, -1990))
    assert grey_levels(pixels, how).tolist() == [[0, 0, 0, 128, 255]]
    inverse = Greyscale(16, 16, 15, signed=True, padding=(-2000, -1990), inverse=True)
    assert grey_levels(pixels, inverse).tolist() == [[0, 0, 255, 128, 0]]


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float64])
def test_an_object_on_nothing_but_padding_can_be_seen(dtype: type) -> None:
    bits = 8 * np.dtype(dtype).itemsize
    how = Greyscale(bits, bits, bits - 1, signed=False, padding=(0, 0))
    assert grey_levels(np.array([[0, 7, 7]], dtype=dtype), how).tolist() == [[0, 255, 255]]


def test_values_outside_a_modality_lut_take_its_first_and_last_entry() -> None:
    lut = Lut(first=10, bits=16, entries=np.array([100, 200, 300], dtype="<u2").tobytes())
    how = Greyscale(16, 16, 15, signed=False, modality=lut, voi=Window(200.5, 201))
    assert grey_levels(np.array([[0, 10, 11, 12, 500]], dtype=np.uint16), how).tolist() == [[0, 0, 128, 255, 255]]
    spread = Greyscale(16, 16, 15, signed=False, modality=lut)
    assert grey_levels(np.array([[0, 11, 500]], dtype=np.uint16), spread).tolist() == [[0, 128, 255]]


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_a_voi_lut_comes_out_in_as_many_bits_as_it_says(bits: int) -> None:
    top = (1 << bits) - 1
    lut = Lut(first=-1, bits=bits, entries=np.array([0, top // 2, top], dtype="<u2").tobytes())
    how = Greyscale(16, 16, 15, signed=True, voi=lut)
    assert grey_levels(np.array([[-9, 0, 9]], dtype=np.int16), how).tolist() == [[0, 127, 255]]


def test_one_value_everywhere_is_one_level_everywhere() -> None:
    assert (
        grey_levels(np.full((2, 2), 7, dtype=np.uint16), Greyscale(16, 12, 11, signed=False)).tolist() == [[0, 0]] * 2
    )


def test_not_a_number_is_no_fault_of_the_others() -> None:
    pixels = np.array([[np.nan, 1.0, 3.0]], dtype=np.float32)
    assert grey_levels(pixels, Greyscale(32, 32, 31, signed=False)).tolist()[0][2] == 255
