import pytest

from services.archive.errors import NotAcceptable
from services.archive.negotiation import (
    Form,
    bulk_form,
    frames_form,
    instances_form,
    metadata_form,
    stored_frames_form,
    stored_instances_form,
)
from services.dicom.accept import parse_accept

LITTLE = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
RLE = "1.2.840.10008.1.2.5"
J2K = "1.2.840.10008.1.2.4.90"
J2K_LOSSY = "1.2.840.10008.1.2.4.91"
JLS = "1.2.840.10008.1.2.4.80"
BASELINE = "1.2.840.10008.1.2.4.50"
VIDEO = "1.2.840.10008.1.2.4.100"
BYTES = "application/octet-stream"
DICOM = "application/dicom"
MAKEABLE = (LITTLE, IMPLICIT, JLS, J2K, J2K_LOSSY, RLE, BASELINE)


@pytest.mark.parametrize(
    ("accept", "stored", "form"),
    [
        # as stored, where the client does not care or cares for that
        ("multipart/related; type=application/octet-stream; transfer-syntax=*", J2K, Form(True, BYTES, J2K)),
        ("multipart/related; type=application/octet-stream", J2K, Form(True, BYTES, J2K)),
        ("*/*", RLE, Form(True, BYTES, RLE)),
        ("*", RLE, Form(True, BYTES, RLE)),
        ("*/*", IMPLICIT, Form(True, BYTES, LITTLE)),
        (BYTES, J2K, Form(False, BYTES, J2K)),
        ('multipart/related; type="image/jp2"', J2K, Form(True, "image/jp2", J2K)),
        ("image/jp2", J2K, Form(False, "image/jp2", J2K)),
        ('multipart/related; type="image/*"', RLE, Form(True, "image/dicom-rle", RLE)),
        (f'multipart/related; type="{BYTES}"; transfer-syntax={LITTLE}', IMPLICIT, Form(True, BYTES, LITTLE)),
        ("image/avif,image/webp,*/*;q=0.8", J2K, Form(True, BYTES, J2K)),
        # a list of what a viewer can decode: equal weights, so what is there
        (
            f"multipart/related; type=image/jls; transfer-syntax={JLS},"
            f" multipart/related; type={BYTES}; transfer-syntax={LITTLE}, multipart/related; type=image/jp2",
            J2K,
            Form(True, "image/jp2", J2K),
        ),
        # made
        (f'multipart/related; type="{BYTES}"; transfer-syntax={LITTLE}', J2K, Form(True, BYTES, LITTLE, made=True)),
        (f"image/jls; transfer-syntax={JLS}", J2K, Form(False, "image/jls", JLS, made=True)),
        ("image/jls", IMPLICIT, Form(False, "image/jls", JLS, made=True)),
        ("image/*", LITTLE, Form(False, "image/jls", JLS, made=True)),
        (f"{BYTES}; transfer-syntax=*;q=0.5, image/dicom-rle", J2K, Form(False, "image/dicom-rle", RLE, made=True)),
        (f"{BYTES}; transfer-syntax={J2K};q=0, {BYTES}", J2K, Form(False, BYTES, LITTLE, made=True)),
        # what loses something, only when it is named
        ("image/jpeg", LITTLE, Form(False, "image/jpeg", BASELINE, made=True)),
        (f"{BYTES}; transfer-syntax={BASELINE}", LITTLE, Form(False, BYTES, BASELINE, made=True)),
        ("image/jp2", RLE, Form(False, "image/jp2", J2K, made=True)),
        (f"image/jp2; transfer-syntax={J2K_LOSSY}", RLE, Form(False, "image/jp2", J2K_LOSSY, made=True)),
    ],
)
def test_frames_go_out_in_the_form_that_the_client_likes_best(accept: str, stored: str, form: Form) -> None:
    assert frames_form(parse_accept(accept), stored, MAKEABLE, single=True) == form


def test_several_frames_are_never_one_body() -> None:
    with pytest.raises(NotAcceptable):
        frames_form(parse_accept(BYTES), J2K, MAKEABLE, single=False)


def test_a_form_that_we_do_not_make_is_refused_with_those_that_we_do() -> None:
    with pytest.raises(NotAcceptable) as caught:
        frames_form(parse_accept('multipart/related; type="image/png"'), J2K, (LITTLE, IMPLICIT, RLE), single=False)
    assert caught.value.reason.removeprefix("this can be had as: ").split(", ") == [
        f'multipart/related; type="application/octet-stream"; transfer-syntax={J2K}',
        f'multipart/related; type="image/jp2"; transfer-syntax={J2K}',
        f'multipart/related; type="application/octet-stream"; transfer-syntax={LITTLE}',
        f'multipart/related; type="application/octet-stream"; transfer-syntax={RLE}',
        f'multipart/related; type="image/dicom-rle"; transfer-syntax={RLE}',
    ]


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("*/*", Form(True, BYTES, J2K)),
        (f"{BYTES};q=0.5, */*;q=0.1", Form(False, BYTES, J2K)),
        # something else may be liked better: what can be made has to be found out first
        (f"image/jls, {BYTES};q=0.9", None),
        ("image/png", None),
    ],
)
def test_what_is_stored_goes_out_without_a_further_look_where_nothing_can_be_better(
    accept: str, form: Form | None
) -> None:
    assert stored_frames_form(parse_accept(accept), J2K, single=True) == form


@pytest.mark.parametrize(
    ("accept", "stored", "form"),
    [
        ('multipart/related; type="application/dicom"', {J2K, LITTLE}, Form(True, DICOM)),
        ("multipart/related; type=application/dicom; transfer-syntax=*", {J2K}, Form(True, DICOM)),
        ("*/*", {J2K}, Form(True, DICOM)),
        (DICOM, {J2K}, Form(False, DICOM)),
        (f"multipart/related; type=application/dicom; transfer-syntax={J2K}", {J2K}, Form(True, DICOM)),
        (
            f"multipart/related; type=application/dicom; transfer-syntax={LITTLE}",
            {J2K, LITTLE},
            Form(True, DICOM, LITTLE, made=True),
        ),
        (f"{DICOM}; transfer-syntax={RLE}", {J2K}, Form(False, DICOM, RLE, made=True)),
        (f"{DICOM}; transfer-syntax={BASELINE}", {J2K}, Form(False, DICOM, BASELINE, made=True)),
    ],
)
def test_instances_go_out_in_the_form_that_the_client_likes_best(accept: str, stored: set[str], form: Form) -> None:
    assert instances_form(parse_accept(accept), frozenset(stored), MAKEABLE, single=len(stored) == 1) == form


@pytest.mark.parametrize("accept", [DICOM, f"multipart/related; type={DICOM}; transfer-syntax={VIDEO}", "text/html"])
def test_instances_that_cannot_be_given_are_refused_with_what_would_do(accept: str) -> None:
    with pytest.raises(NotAcceptable) as caught:
        instances_form(parse_accept(accept), frozenset({J2K, RLE}), (LITTLE,), single=False)
    assert caught.value.reason == (
        'this can be had as: multipart/related; type="application/dicom"; transfer-syntax=*,'
        f' multipart/related; type="application/dicom"; transfer-syntax={LITTLE}'
    )


def test_stored_instances_go_out_without_a_further_look_where_nothing_can_be_better() -> None:
    ranges = parse_accept(f"{DICOM}; transfer-syntax=*")
    assert stored_instances_form(ranges, frozenset({J2K}), single=True) == Form(False, DICOM)
    assert stored_instances_form(parse_accept(f"{DICOM}; transfer-syntax={RLE}"), frozenset({J2K}), single=True) is None


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("*/*", Form(True, BYTES)),
        (BYTES, Form(False, BYTES)),
        (f"{BYTES}; transfer-syntax={J2K}", Form(False, BYTES)),
        ("multipart/related; type=application/octet-stream; transfer-syntax=*", Form(True, BYTES)),
        ("video/mp4", Form(False, "video/mp4")),
    ],
)
def test_bulk_data_has_no_transfer_syntax(accept: str, form: Form) -> None:
    assert bulk_form(parse_accept(accept), "video/mp4") == form


def test_one_who_wants_a_range_gets_the_content_by_itself_unless_that_is_refused() -> None:
    assert bulk_form(parse_accept("*/*"), prefer_single=True) == Form(False, BYTES)
    assert bulk_form(parse_accept("multipart/related"), prefer_single=True) == Form(True, BYTES)


@pytest.mark.parametrize(
    ("accept", "single", "form"),
    [
        ("*/*", False, Form(False, "application/dicom+json")),
        ("application/json", False, Form(False, "application/json")),
        ("application/dicom+json, application/json", False, Form(False, "application/dicom+json")),
        (
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            False,
            Form(False, "application/dicom+json"),
        ),
        ('multipart/related; type="application/dicom+xml"', False, Form(True, "application/dicom+xml")),
        ("multipart/related;type=application/dicom+xml;q=0.4, */*;q=0.1", False, Form(True, "application/dicom+xml")),
        ("application/dicom+xml", True, Form(False, "application/dicom+xml")),
    ],
)
def test_metadata_goes_out_as_json_or_xml(accept: str, single: bool, form: Form) -> None:
    assert metadata_form(parse_accept(accept), single=single) == form


@pytest.mark.parametrize("accept", ["image/png", "application/dicom+xml"])
def test_metadata_is_refused_with_what_would_do(accept: str) -> None:
    with pytest.raises(NotAcceptable) as caught:
        metadata_form(parse_accept(accept), single=False)
    assert caught.value.reason.endswith('application/json, multipart/related; type="application/dicom+xml"')
