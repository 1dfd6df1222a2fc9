"""Made images, drawn: each transformation where one can see what must come out."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from services.pixels.rendering.drawing import Drawn, draw, fitted, placeholder
from services.pixels.rendering.palettes import BrokenPalette
from services.pixels.rendering.picture import Picture, describe
from services.pixels.rendering.profiles import BrokenProfile, converted, profile
from services.pixels.rendering.view import InvalidParameter, MediaType, Profile, View, Viewport, rendered_view
from services.pixels.rendering.windowing import Greyscale
from services.pixels.rendering.writing import write
from tests.unit.pixels.shown import Opened, drawn, item, made

_RAMP = np.arange(0, 4096, 16, dtype=np.uint16).reshape(16, 16)
_INDICES = np.array([[0, 1, 2, 3]], dtype=np.uint8)


def asked(**parameters: str) -> View:
    return rendered_view(parameters.items())[0]


@pytest.mark.parametrize(
    ("attributes", "inverse"),
    [
        ({}, False),
        ({"PhotometricInterpretation": "MONOCHROME1"}, True),
        ({"PresentationLUTShape": "INVERSE"}, True),
        ({"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"}, True),
        ({"PresentationLUTShape": "IDENTITY"}, False),
    ],
)
def test_the_lowest_value_is_white_when_the_data_set_says_so_and_once_only(
    attributes: dict[str, str], inverse: bool
) -> None:
    shown = drawn(made(_RAMP, WindowCenter="2048", WindowWidth="4096", **attributes))
    assert (int(shown[0, 0]), int(shown[-1, -1])) == ((255, 1) if inverse else (0, 254))


def test_of_several_windows_the_first_one_counts() -> None:
    several = drawn(made(_RAMP, WindowCenter=["1000", "40"], WindowWidth=["500", "80"]))
    assert np.array_equal(several, drawn(made(_RAMP, WindowCenter="1000", WindowWidth="500")))


@pytest.mark.parametrize("window", [("40", "0"), ("40", "-5"), ("wide", "40"), ("40", "")])
def test_a_window_that_is_none_leaves_the_frames_own_range(window: tuple[str, str]) -> None:
    shown = drawn(made(_RAMP, x00281050=("LO", window[0]), x00281051=("LO", window[1])))
    assert (int(shown[0, 0]), int(shown[-1, -1])) == (0, 255)


def test_a_narrow_linear_window_of_real_values_is_exact() -> None:
    data = made(_RAMP, RescaleSlope="0.0001", RescaleIntercept="0", WindowCenter="0.2", WindowWidth="0.4")
    assert int(drawn(data)[8, 0]) == round(2048 * 0.0001 / 0.4 * 255)


def test_the_clients_window_is_for_values_after_the_modality_lut() -> None:
    data = made(_RAMP, RescaleSlope="1", RescaleIntercept="-1024", WindowCenter="0", WindowWidth="10")
    assert int(drawn(data, view=asked(window="0,2048,linear-exact"))[4, 0]) == 128  # stored 1024 is 0


def test_each_frame_has_its_own_rescale_and_window() -> None:
    def group(slope: str, intercept: str) -> Any:
        rescale = item(RescaleSlope=slope, RescaleIntercept=intercept, RescaleType="US")
        return item(PixelValueTransformationSequence=rescale)[0]

    shared = item(FrameVOILUTSequence=item(WindowCenter="2048.5", WindowWidth="4097"))
    frames = [group("1", "0"), group("2", "-4096")]
    opened = Opened(made(_RAMP, SharedFunctionalGroupsSequence=shared, PerFrameFunctionalGroupsSequence=frames))
    levels = [draw(_RAMP, "MONOCHROME2", opened.picture(number), View()).pixels for number in (1, 2)]
    assert [int(each[8, 0]) for each in levels] == [128, 0]
    assert [int(each[12, 0]) for each in levels] == [191, 128]


def test_an_angiograms_modality_lut_is_not_for_display() -> None:
    attributes = {"RescaleSlope": "1000", "RescaleIntercept": "0", "WindowCenter": "2048", "WindowWidth": "4096"}
    uid = "1.2.840.10008.5.1.4.1.1.12.1"
    log = drawn(made(_RAMP, SOPClassUID=uid, PixelIntensityRelationship="LOG", **attributes))
    linear = drawn(made(_RAMP, SOPClassUID=uid, PixelIntensityRelationship="LIN", **attributes))
    assert (int(log[8, 0]), int(linear[8, 0])) == (128, 255)


@pytest.mark.parametrize("wide", [True, False])
def test_a_lut_sequence_is_used_with_entries_of_either_width(wide: bool) -> None:
    entries = np.arange(255, -1, -1)
    content = entries.astype("<u2" if wide else "u1").tobytes()
    sequence = item(LUTDescriptor=[256, 0, 8], LUTData=content)
    sequence[0]["LUTDescriptor"].VR, sequence[0]["LUTData"].VR = "US", "OW"
    pixels = np.array([[0, 100, 255]], dtype=np.uint8)
    for name in ("VOILUTSequence", "ModalityLUTSequence"):
        more = {"WindowCenter": "128", "WindowWidth": "256"} if name.startswith("Modality") else {}
        assert drawn(made(pixels, **{name: sequence}, **more)).tolist() == [[255, 155, 0]]


def test_padding_of_signed_pixels_is_black_also_when_it_is_written_as_unsigned() -> None:
    pixels = np.array([[-2000, 0, 100]], dtype=np.int16)
    attributes = {"x00280120": ("US", 65536 - 2000), "PhotometricInterpretation": "MONOCHROME1"}
    assert drawn(made(pixels, **attributes)).tolist() == [[0, 255, 0]]


def _palette(first: int, bits: int, segmented: bool = False) -> dict[str, Any]:
    """Red rises, green falls, blue is 7, from `first` on."""
    scale = 257 if bits == 16 else 1
    tables = {1: [0, 100, 200], 2: [200, 100, 0], 3: [7, 7, 7]}
    made_of: dict[str, Any] = {}
    for number, values in tables.items():
        words = [value * scale for value in values]
        if segmented:  # the first entry as it is, the others on a line
            words = [0, 1, words[0], 1, 2, words[2]]
        content = np.array(words, dtype="<u2" if bits == 16 else "u1").tobytes()
        made_of[f"x0028110{number}"] = ("US", [3, first, bits])
        made_of[f"x0028{'122' if segmented else '120'}{number}"] = ("OW", content + b"\0" * (len(content) % 2))
    return made_of | {"PhotometricInterpretation": "PALETTE COLOR"}


@pytest.mark.parametrize("segmented", [False, True])
@pytest.mark.parametrize("bits", [8, 16])
def test_a_palette_gives_colours_from_its_first_entry_on(bits: int, segmented: bool) -> None:
    shown = drawn(made(_INDICES, **_palette(1, bits, segmented)))
    assert shown[0].tolist() == [[0, 200, 7], [0, 200, 7], [100, 100, 7], [200, 0, 7]]


def test_an_indirect_segment_repeats_earlier_ones() -> None:
    words = [0, 2, 10 * 257, 20 * 257, 2, 1, 0, 0]  # two entries; then one segment again from byte 0
    attributes = _palette(0, 16) | {
        f"x0028122{number}": ("OW", np.array(words, "<u2").tobytes()) for number in (1, 2, 3)
    }
    attributes |= {f"x0028110{number}": ("US", [4, 0, 16]) for number in (1, 2, 3)}
    assert drawn(made(_INDICES, **attributes))[0, :, 0].tolist() == [10, 20, 10, 20]


@pytest.mark.parametrize("words", [[], [1, 2, 3], [2, 1, 0, 0], [0, 1, 5, 2, 9, 6, 0], [9, 9]])
def test_a_palette_whose_segments_lead_nowhere_is_refused(words: list[int]) -> None:
    attributes = _palette(0, 16)
    for number in (1, 2, 3):
        attributes.pop(f"x0028120{number}")
        attributes[f"x0028122{number}"] = ("OW", np.array(words, "<u2").tobytes())
    with pytest.raises(BrokenPalette):
        drawn(made(_INDICES, **attributes))


def test_a_supplemental_palette_colours_only_what_it_is_for() -> None:
    grey = {"PhotometricInterpretation": "MONOCHROME2", "x00089205": ("CS", "COLOR")}
    shown = drawn(made(_INDICES, **(_palette(2, 16) | grey), WindowCenter="128", WindowWidth="256"))
    assert shown[0].tolist() == [[0, 0, 0], [1, 1, 1], [0, 200, 7], [100, 100, 7]]


def test_colour_spaces_come_out_as_red_green_and_blue() -> None:
    def rgb(pixels: list[int], photometric: str) -> list[int]:
        picture = Picture(1, 1, 3, photometric, Greyscale(8, 8, 7, signed=False))
        return [int(each) for each in draw(np.array([[pixels]], np.uint8), photometric, picture, View()).pixels[0, 0]]

    assert rgb([76, 85, 255], "YBR_FULL") == [254, 0, 0]
    assert rgb([235, 128, 128], "YBR_PARTIAL_420") == [255, 255, 255]
    assert rgb([16, 128, 128], "YBR_PARTIAL_422") == [0, 0, 0]
    assert rgb([81, 90, 240], "YBR_PARTIAL_422") == [254, 0, 0]
    assert rgb([1, 2, 3], "RGB") == rgb([1, 2, 3], "YBR_ICT") == [1, 2, 3]


def test_colours_of_more_bits_lose_the_lower_ones() -> None:
    pixels = np.array([[[0, 32896, 65535]]], dtype=np.uint16)
    assert drawn(made(pixels))[0, 0].tolist() == [0, 128, 255]
    assert drawn(made(pixels >> 4, BitsStored=12, HighBit=11))[0, 0].tolist() == [0, 128, 255]


def _plane(rows: int, columns: int, *at: tuple[int, int]) -> bytes:
    plane = np.zeros((rows, columns), dtype=np.uint8)
    for place in at:
        plane[place] = 1
    content = np.packbits(plane, bitorder="little").tobytes()
    return content + b"\0" * (len(content) % 2)


def test_overlays_are_white_where_they_lie_also_partly_outside() -> None:
    black = np.zeros((4, 5), dtype=np.uint8)
    attributes = {
        "x60000010": ("US", 3), "x60000011": ("US", 3), "x60000040": ("CS", "G"), "x60000100": ("US", 1),
        "x60000102": ("US", 0), "x60000050": ("SS", [0, 2]), "x60003000": ("OW", _plane(3, 3, (0, 0), (1, 1), (2, 2))),
    }  # fmt: skip
    shown = drawn(made(black, **attributes))
    assert np.argwhere(shown == 255).tolist() == [[0, 2], [1, 3]]
    colours = drawn(made(np.zeros((4, 5, 3), dtype=np.uint8), **attributes))
    assert np.argwhere(colours.min(axis=-1) == 255).tolist() == [[0, 2], [1, 3]]


def test_an_overlay_in_unused_bits_is_drawn_and_is_no_part_of_the_pixels() -> None:
    pixels = np.array([[0x1000, 0x0FFF, 0x1FFF, 0x0000]], dtype=np.uint16)
    attributes = {
        "BitsStored": 12, "HighBit": 11, "WindowCenter": "4096", "WindowWidth": "8192",
        "x60000010": ("US", 1), "x60000011": ("US", 4), "x60000040": ("CS", "R"), "x60000100": ("US", 16),
        "x60000102": ("US", 12), "x60000050": ("SS", [1, 1]),
    }  # fmt: skip
    picture = Opened(made(pixels, **attributes)).picture()
    assert draw(pixels, "MONOCHROME2", picture, View()).pixels.tolist() == [[255, 127, 255, 0]]


def test_each_frame_has_the_plane_that_is_for_it() -> None:
    planes = np.zeros((2, 3, 3), dtype=np.uint8)
    planes[0, 0, 0] = planes[1, 2, 2] = 1
    attributes = {
        "x60000010": ("US", 3), "x60000011": ("US", 3), "x60000015": ("IS", "2"), "x60000051": ("US", 2),
        "x60000040": ("CS", "G"), "x60000050": ("SS", [1, 1]), "x60000100": ("US", 1), "x60000102": ("US", 0),
        "x60003000": ("OW", np.packbits(planes, bitorder="little").tobytes() + b"\0"),
    }  # fmt: skip
    black = np.zeros((3, 3), dtype=np.uint8)
    opened = Opened(made(black, **attributes))
    shown = [draw(black, "MONOCHROME2", opened.picture(number), View()).pixels for number in (1, 2, 3, 4)]
    assert [np.argwhere(each).tolist() for each in shown] == [[], [[0, 0]], [[2, 2]], []]


_JUNK = st.one_of(
    st.none(),
    st.floats(),
    st.integers(-(2**70), 2**70),
    st.text(max_size=5),
    st.fixed_dictionaries({"vr": st.just("US")}),
)


@settings(max_examples=150, deadline=None)
@given(
    values=st.dictionaries(
        st.sampled_from(
            (
                *("00280002", "00280004", "00280100", "00280101", "00280102", "00280103", "00280120", "00280121"),
                *("00281050", "00281051", "00281052", "00281053", "00281056", "00281101", "00281201", "00283000"),
                *("00283010", "00289145", "00289132", "00289110", "00280030", "00280034", "20500020", "00089205"),
                *("52009229", "52009230", "60000010", "60000011", "60000015", "60000050", "60000051", "60003000"),
            )
        ),
        st.lists(_JUNK, max_size=4),
    )
)
def test_whatever_a_data_set_says_it_is_read_without_a_fault(values: dict[str, list[Any]]) -> None:
    attributes = {tag: {"vr": "UN", "Value": each} for tag, each in values.items()}
    hash(describe(attributes, 1, lambda _: b""))


def test_a_viewport_is_filled_as_far_as_the_shape_allows() -> None:
    pixels = np.zeros((100, 200), dtype=np.uint8)
    sizes = {port: fitted(pixels, Viewport(*port), 1.0).shape for port in ((50, 50), (400, 1000), (1, 1), (200, 100))}
    assert sizes == {(50, 50): (25, 50), (400, 1000): (200, 400), (1, 1): (1, 1), (200, 100): (100, 200)}
    assert fitted(pixels, Viewport(200, 200), 2.0).shape == (200, 200)  # pixels twice as high as wide


def test_a_region_is_cut_out_and_turned_over() -> None:
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    cut = fitted(pixels, Viewport(4, 2, 2, 1, 4, 2), 1.0)
    assert np.array_equal(cut, pixels[1:3, 2:6])
    assert np.array_equal(fitted(pixels, Viewport(4, 2, 2, 1, -4, 2), 1.0), cut[:, ::-1])
    assert np.array_equal(fitted(pixels, Viewport(4, 2, 2, 1, 4, -2), 1.0), cut[::-1])
    assert np.array_equal(fitted(pixels, Viewport(3, 3, 5, 5, 100, 100), 1.0), pixels[5:, 5:])


def test_a_region_without_a_pixel_is_refused() -> None:
    with pytest.raises(InvalidParameter, match="viewport"):
        fitted(np.zeros((8, 8), dtype=np.uint8), Viewport(4, 4, 8, 0), 1.0)


@pytest.mark.parametrize(
    ("attributes", "shape"),
    [
        ({"PixelSpacing": ["2", "1"]}, (64, 32)),
        ({"PixelAspectRatio": ["1", "2"]}, (32, 64)),
        ({"ImagerPixelSpacing": ["1", "1"], "PixelAspectRatio": ["1", "2"]}, (64, 64)),
        ({"PixelSpacing": ["0", "1"]}, (64, 64)),
    ],
)
def test_pixels_that_are_not_square_are_shown_square(attributes: dict[str, Any], shape: tuple[int, int]) -> None:
    data = made(_RAMP, **attributes)
    assert drawn(data, view=asked(viewport="64,64")).shape == shape
    assert drawn(data).shape == (16, 16)  # without a viewport, no pixel is added or lost (PS3.18 8.3.5.1.3)


@pytest.mark.parametrize("wanted", [Profile.SRGB, Profile.ADOBE_RGB, Profile.ROMM_RGB])
def test_a_made_profile_means_what_it_is_called(wanted: Profile) -> None:
    opened = ImageCms.ImageCmsProfile(io.BytesIO(profile(wanted)))
    assert {"srgb": "sRGB", "adobergb": "Adobe RGB (1998)", "rommrgb": "ROMM RGB"}[
        wanted
    ] == opened.profile.profile_description
    grey = np.full((1, 1, 3), 255, dtype=np.uint8)
    assert np.abs(converted(grey, b"", wanted)[0].astype(int) - 255).max() <= 1  # white is white in each


def test_our_srgb_is_the_srgb_of_others() -> None:
    colours = np.random.default_rng(1).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    other = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert np.abs(converted(colours, other, Profile.SRGB)[0].astype(int) - colours).max() <= 1


def test_red_of_adobe_is_more_than_red_can_be_in_srgb() -> None:
    red = np.array([[[200, 30, 30]]], dtype=np.uint8)
    made_rgb, icc = converted(red, profile(Profile.ADOBE_RGB), Profile.SRGB)
    assert icc == profile(Profile.SRGB)
    assert made_rgb[0, 0].tolist()[0] > 225
    assert converted(red, b"", Profile.NO)[0] is red


def test_a_grey_image_with_a_profile_is_written_in_colour() -> None:
    shown = draw(_RAMP, "MONOCHROME2", Opened(made(_RAMP)).picture(icc=True), View(profile=Profile.YES))
    assert shown.pixels.shape == (16, 16, 3)
    for media_type in (MediaType.JPEG, MediaType.PNG, MediaType.WEBP):
        image = Image.open(io.BytesIO(write(shown, View(media_type=media_type))))
        assert image.info["icc_profile"] == profile(Profile.SRGB)


def test_a_broken_profile_of_the_image_is_refused_when_it_is_needed() -> None:
    pixels = np.zeros((2, 2, 3), dtype=np.uint8)
    opened = Opened(made(pixels, ICCProfile=b"not a profile!"))
    with pytest.raises(BrokenProfile):
        draw(pixels, "RGB", opened.picture(icc=True), View(profile=Profile.SRGB))


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("media_type", list(MediaType))
def test_each_media_type_is_what_it_says_and_the_lossless_one_is_exact(media_type: MediaType, colour: bool) -> None:
    pixels = np.tile(np.arange(0, 250, 10, dtype=np.uint8), (17, 1))
    pixels = np.stack([pixels, pixels[:, ::-1], pixels // 2], axis=-1) if colour else pixels
    image = Image.open(io.BytesIO(write(Drawn(pixels), View(media_type=media_type, quality=95))))
    assert image.get_format_mimetype() == media_type
    back = np.asarray(image.convert("RGB" if colour else "L")).astype(int)
    allowed = {MediaType.PNG: 0, MediaType.GIF: 0 if not colour else 12, MediaType.JPEG: 12, MediaType.WEBP: 40}
    assert np.abs(back - pixels).max() <= allowed[media_type]


def test_a_large_profile_takes_several_segments_of_a_jpeg() -> None:
    icc = profile(Profile.SRGB) + bytes(150_000)
    image = Image.open(io.BytesIO(write(Drawn(np.zeros((8, 8, 3), dtype=np.uint8), icc), View())))
    assert image.info["icc_profile"] == icc


@pytest.mark.parametrize("label", ["SR", "", "RTSTRUCT and more"])
def test_what_stands_for_a_document_is_dark_with_bright_letters(label: str) -> None:
    shown = placeholder(label, Viewport(128, 96)).pixels
    assert shown.shape == (96, 128)
    assert shown.min() == shown[0, 0] < 64 < shown.max()
