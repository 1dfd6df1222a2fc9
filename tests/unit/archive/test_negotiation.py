import pytest

from services.archive.errors import NotAcceptable
from services.archive.negotiation import Form, bulk_form, frames_form, instances_form, json_form
from services.dicom.accept import parse_accept

LITTLE = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
RLE = "1.2.840.10008.1.2.5"
J2K = "1.2.840.10008.1.2.4.90"
VIDEO = "1.2.840.10008.1.2.4.100"
BYTES = "application/octet-stream"
DICOM = "application/dicom"


@pytest.mark.parametrize(
    ("accept", "stored", "form"),
    [
        ("multipart/related; type=application/octet-stream; transfer-syntax=*", J2K, Form(True, BYTES, J2K)),
        ("multipart/related; type=application/octet-stream", J2K, Form(True, BYTES, J2K)),
        ("*/*", RLE, Form(True, BYTES, RLE)),
        ("*/*", IMPLICIT, Form(True, BYTES, LITTLE)),
        (BYTES, J2K, Form(False, BYTES, J2K)),
        ('multipart/related; type="image/jp2"', J2K, Form(True, "image/jp2", J2K)),
        ("image/jp2", J2K, Form(False, "image/jp2", J2K)),
        ('multipart/related; type="image/*"', RLE, Form(True, "image/dicom-rle", RLE)),
        (f'multipart/related; type="{BYTES}"; transfer-syntax={LITTLE}', J2K, Form(True, BYTES, LITTLE, decode=True)),
        (f'multipart/related; type="{BYTES}"; transfer-syntax={LITTLE}', IMPLICIT, Form(True, BYTES, LITTLE)),
        (
            f"multipart/related; type=image/jpeg, multipart/related; type={BYTES}; transfer-syntax={J2K}",
            J2K,
            Form(True, BYTES, J2K),
        ),
    ],
)
def test_frames_go_out_in_the_first_form_that_the_client_takes(accept: str, stored: str, form: Form) -> None:
    assert frames_form(parse_accept(accept), stored, single=True) == form


def test_several_frames_are_never_one_body() -> None:
    with pytest.raises(NotAcceptable):
        frames_form(parse_accept(BYTES), J2K, single=False)


def test_a_form_that_we_do_not_make_is_refused_with_those_that_we_do() -> None:
    with pytest.raises(NotAcceptable) as caught:
        frames_form(parse_accept('multipart/related; type="image/jpeg"'), J2K, single=False)
    assert caught.value.reason.removeprefix("this can be had as: ").split(", ") == [
        f'multipart/related; type="application/octet-stream"; transfer-syntax={J2K}',
        f'multipart/related; type="image/jp2"; transfer-syntax={J2K}',
        f'multipart/related; type="application/octet-stream"; transfer-syntax={LITTLE}',
    ]


@pytest.mark.parametrize(
    ("accept", "stored", "form"),
    [
        ('multipart/related; type="application/dicom"', {J2K, LITTLE}, Form(True, DICOM)),
        ("multipart/related; type=application/dicom; transfer-syntax=*", {J2K}, Form(True, DICOM)),
        ("*/*", {J2K}, Form(True, DICOM)),
        (DICOM, {J2K}, Form(False, DICOM)),
        (f"{DICOM}; transfer-syntax={J2K}", {J2K}, Form(False, DICOM)),
        (f"multipart/related; type={DICOM}; transfer-syntax={LITTLE}", {LITTLE}, Form(True, DICOM)),
        (
            f"multipart/related; type={DICOM}; transfer-syntax={LITTLE}",
            {J2K, LITTLE},
            Form(True, DICOM, LITTLE, decode=True),
        ),
    ],
)
def test_instances_go_out_as_stored_unless_told_otherwise(accept: str, stored: set[str], form: Form) -> None:
    assert instances_form(parse_accept(accept), stored, single=True) == form


@pytest.mark.parametrize(
    ("accept", "stored"),
    [
        (f"multipart/related; type={DICOM}; transfer-syntax={J2K}", {RLE}),
        (f"multipart/related; type={DICOM}; transfer-syntax={LITTLE}", {VIDEO}),
        ("application/zip", {J2K}),
    ],
)
def test_instances_that_cannot_go_out_so_are_refused_with_what_can(accept: str, stored: set[str]) -> None:
    with pytest.raises(NotAcceptable) as caught:
        instances_form(parse_accept(accept), stored, single=False)
    assert "transfer-syntax=*" in caught.value.reason


def test_bulk_data_has_no_transfer_syntax_to_insist_on() -> None:
    ranges = parse_accept(f'multipart/related; type="{BYTES}"; transfer-syntax={J2K}')
    assert bulk_form(ranges) == Form(True, BYTES)
    assert bulk_form(parse_accept(BYTES)) == Form(False, BYTES)
    with pytest.raises(NotAcceptable):
        bulk_form(parse_accept("image/png"))


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("application/dicom+json", "application/dicom+json"),
        ("application/json", "application/json"),
        ("*/*", "application/dicom+json"),
        ("text/html, */*;q=0.1", "application/dicom+json"),
    ],
)
def test_json_has_the_name_that_the_client_knows(accept: str, media_type: str) -> None:
    assert json_form(parse_accept(accept)) == media_type
