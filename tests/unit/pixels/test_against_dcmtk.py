"""The files of the data set beside DCMTK's `dcm2pnm` and pydicom: within a grey level or two, colours exact."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from pydicom.pixels.processing import apply_color_lut, apply_voi_lut, convert_color_space

from tests.unit.pixels.shown import Opened, by_dcmtk

_GREY = [
    ("ct-chest-cmb/1-050.dcm", 1),
    ("seg-liver-ct/01.dcm", 1),
    ("ct-apple-phi/00031.dcm", 1),
    ("mr-brain-t2/brain_011.dcm", 1),
    ("multiframe/emri_small.dcm", 7),
    ("multiframe/emri_small_big_endian.dcm", 7),
    ("multiframe/nm-heart-13frames.dcm", 5),
    ("xray/dx-small.dcm", 1),
    ("xray/mg-3062x2394-jpegll.dcm", 1),
    ("dicomdir/77654033/CR1/6154", 1),
    ("derived/rtdose.dcm", 3),
    ("derived/ct.0.dcm", 1),
    ("derived/tumor-seg.dcm", 4),
]
_COLOUR = [
    ("multiframe/examples_ybr_color.dcm", 9),
    ("multiframe/us-palette-10frames-rle.dcm", 2),
    ("syntaxes-color/examples_palette.dcm", 1),
    ("syntaxes-color/SC_rgb_rle_16bit_2frame.dcm", 2),
    ("syntaxes-color/SC_rgb_rle_32bit.dcm", 1),
    ("syntaxes-color/SC_rgb_dcmtk_+eb+cy+np.dcm", 1),
    ("syntaxes-color/SC_ybr_full_422_uncompressed.dcm", 1),
    ("wsi/multiframe_camelyon_challenge_image.dcm", 3),
    ("wsi/sm_image.dcm", 12),
]


@pytest.mark.skipif(not shutil.which("dcmj2pnm"), reason="DCMTK is not on this machine")
@pytest.mark.parametrize(("name", "number"), _GREY + _COLOUR)
def test_a_frame_looks_as_dcmtk_shows_it(shared_data: Path, name: str, number: int) -> None:
    opened = Opened((shared_data / name).read_bytes())
    ours, theirs = opened.drawn(number), by_dcmtk(shared_data / name, opened.picture(number), number)
    assert ours.shape == theirs.shape
    assert np.abs(ours.astype(int) - theirs).max() <= 1


@pytest.mark.parametrize("name", ["xray/RG3_J2KR.dcm", "ct-apple-phi/00001.dcm"])
def test_a_window_is_pydicoms_window(shared_data: Path, name: str) -> None:
    opened = Opened((shared_data / name).read_bytes())
    dataset = opened.dataset
    slope, intercept = float(dataset.get("RescaleSlope", 1)), float(dataset.get("RescaleIntercept", 0))
    grey = apply_voi_lut(dataset.pixel_array * slope + intercept, dataset)
    expected = (grey - intercept) / slope / (2**dataset.BitsStored - 1) * 255  # it spans what values there can be
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        expected = 255 - expected
    assert np.abs(opened.drawn() - expected).max() <= 3


def test_the_palette_of_a_supplemental_one_is_pydicoms(shared_data: Path) -> None:
    opened = Opened((shared_data / "multiframe/eCT_Supplemental.dcm").read_bytes())
    shown, stored = opened.drawn(1), opened.pixels(1)[0]
    coloured = stored >= opened.dataset.RedPaletteColorLookupTableDescriptor[1]
    del opened.dataset.PixelPresentation  # with which pydicom refuses the palette
    expected = apply_color_lut(stored, opened.dataset) >> 8
    assert coloured.any()
    assert np.array_equal(shown[coloured], expected[coloured])
    grey = shown[~coloured]
    assert (grey == grey[:, :1]).all()


@pytest.mark.parametrize("name", ["examples_jpeg2k.dcm", "GDCMJ2K_TextGBR.dcm", "SC_rgb_gdcm_KY.dcm"])
def test_jpeg_2000_colours_are_pydicoms(shared_data: Path, name: str) -> None:
    opened = Opened((shared_data / "syntaxes-color" / name).read_bytes())
    array = opened.dataset.pixel_array
    space = opened.dataset.PhotometricInterpretation
    expected = convert_color_space(array, space, "RGB") if space.startswith("YBR_FULL") else array
    assert np.array_equal(opened.drawn(), expected)


def test_an_overlay_of_the_data_set_is_where_pydicom_has_it(shared_data: Path) -> None:
    opened = Opened((shared_data / "phi-burned-in/RGB_ORIGINAL.dcm").read_bytes())
    covered = opened.dataset.overlay_array(0x6000).astype(bool)
    assert covered.any()
    assert (opened.drawn()[covered] == 255).all()
