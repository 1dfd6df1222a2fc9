"""The parameters of rendered resources (PS3.18 8.3.5), good ones and bad ones."""

from __future__ import annotations

import pytest

from services.pixels.rendering.view import (
    Annotation,
    InvalidParameter,
    MediaType,
    Profile,
    Viewport,
    rendered_view,
    thumbnail_view,
)
from services.pixels.rendering.windowing import Function, Window


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("40,400,linear", Window(40, 400)),
        ("-600,1500.5,linear-exact", Window(-600, 1500.5, Function.LINEAR_EXACT)),
        ("1e2,.5,sigmoid", Window(100, 0.5, Function.SIGMOID)),
    ],
)
def test_a_window_has_center_width_and_function(text: str, window: Window) -> None:
    assert rendered_view([("window", text)])[0].window == window


@pytest.mark.parametrize(
    ("text", "viewport"),
    [
        ("512,256", Viewport(512, 256)),
        ("512,512,,,512,512", Viewport(512, 512, 0, 0, 512, 512)),
        ("64,64,-10,20.5,-30,-40", Viewport(64, 64, 10, 20.5, -30, -40)),
        ("64,64,10", Viewport(64, 64, 10)),
        ("64,64,,5", Viewport(64, 64, 0, 5)),
    ],
)
def test_a_viewport_may_leave_out_what_has_a_default(text: str, viewport: Viewport) -> None:
    assert rendered_view([("viewport", text)])[0].viewport == viewport


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("window", each) for each in (
            "", "40", "40,400", "40,400,", "40,400,LINEAR", "40,400,linear_exact", "a,400,linear", "40,,linear",
            "40,0.5,linear", "40,0,sigmoid", "40,-1,linear-exact", "nan,1,linear", "1e999,1,linear", "40,400,linear,",
        )),
        *(("viewport", each) for each in (
            "", "64", "64,", ",64", "0,64", "-64,64", "6.5,64", "64,64,", "64,64,1,2,3,4,5", "64,64,a", "64,64,0,0,0,5",
            "64,64,,,,", "99999,1", "8192,8192", "64,64,0,0,inf,1", "٦٤,64",
        )),
        *(("quality", each) for each in ("", "0", "101", "-1", "9.5", "high", "+5")),
        *(("iccprofile", each) for each in ("", "YES", "displayp3")),
        *(("annotation", each) for each in ("", ",", "patient,", "pa tient", "<b>")),
    ],
)  # fmt: skip
def test_an_invalid_value_is_refused_by_the_name_of_its_parameter(name: str, text: str) -> None:
    with pytest.raises(InvalidParameter, match=f"^the value of {name} is not valid$"):
        rendered_view([(name, text)])


def test_a_parameter_counts_once() -> None:
    assert rendered_view([("quality", "5"), ("quality", "5")])[0].quality == 5
    with pytest.raises(InvalidParameter):
        rendered_view([("quality", "5"), ("quality", "6")])


def test_unknown_parameters_are_passed_over_and_unknown_annotations_named() -> None:
    view, warnings = rendered_view([("colour", "blue"), ("annotation", "technique,patient,weather")])
    assert view.annotations == (Annotation.PATIENT, Annotation.TECHNIQUE)
    assert warnings == ("The following annotation values are not supported: weather",)


def test_a_thumbnail_has_a_size_and_nothing_else() -> None:
    assert thumbnail_view([("window", "1"), ("annotation", "patient")]).viewport == Viewport(128, 128)
    assert thumbnail_view([("viewport", "256,256")]).viewport == Viewport(256, 256)
    with pytest.raises(InvalidParameter):
        thumbnail_view([("viewport", "256,256,0,0,10,10")])


def test_a_gif_has_no_place_for_a_profile() -> None:
    view = rendered_view([("iccprofile", "srgb")])[0]
    assert view.written_as(MediaType.PNG).profile is Profile.SRGB
    with pytest.raises(InvalidParameter):
        view.written_as(MediaType.GIF)
    assert rendered_view([("iccprofile", "no")])[0].written_as(MediaType.GIF).media_type is MediaType.GIF
