"""Bytes that are made anew: colour profiles without texts, documents that say nothing."""

import io
import struct

import pytest
from PIL import ImageCms

from services.anonymise.engine import icc
from services.anonymise.engine.documents import empty_document


def test_a_colour_profile_keeps_its_colours_and_loses_its_texts() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    named = profile.replace("sRGB".encode("utf-16-be"), "Jane".encode("utf-16-be"))
    neutral = icc.neutral(named)
    assert neutral is not None and "Jane".encode("utf-16-be") not in neutral and len(neutral) % 4 == 0
    assert struct.unpack(">L", neutral[:4])[0] == len(neutral)
    read = ImageCms.ImageCmsProfile(io.BytesIO(neutral)).profile
    original = ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile
    assert read.red_colorant == original.red_colorant and read.media_white_point == original.media_white_point
    assert read.profile_description == "ANONYMOUS"


@pytest.mark.parametrize("data", [b"", b"Jane Doe", bytes(200), bytes(36) + b"acsp" + bytes(88) + b"\xff" * 40])
def test_what_is_no_colour_profile_is_none(data: bytes) -> None:
    assert icc.neutral(data) is None


@pytest.mark.parametrize(
    ("media_type", "begins"), [(b"application/pdf ", b"%PDF-1.4"), (b"model/stl", bytes(84)), (b"model/obj", b"#")]
)
def test_an_empty_document_is_one_of_its_type(media_type: bytes, begins: bytes) -> None:
    assert (empty_document(media_type) or b"").startswith(begins)


def test_of_an_unknown_type_there_is_none() -> None:
    assert empty_document(b"text/xml") is None
