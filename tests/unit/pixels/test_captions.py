"""Names on images: right in every script that there is a font for, refused in the others."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from PIL.GifImagePlugin import GifImageFile
from pydicom.uid import UID

from services.pixels.rendering import gif
from services.pixels.rendering.captions import Captions, captions
from services.pixels.rendering.drawing import Drawn
from services.pixels.rendering.lettering import NotWritable, write
from services.pixels.rendering.view import Annotation, MediaType, View
from services.pixels.rendering.writing import write as encode
from tests.unit.pixels.shown import Opened, made

_DEJAVU = Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf")
_BLACK = np.zeros((256, 256), dtype=np.uint8)


def test_patient_and_technique_stand_in_corners_of_their_own() -> None:
    data = made(
        _BLACK, Modality="CT", PatientName="Doe^Jane", PatientID="4711", PatientBirthDate="19700101", PatientSex="F",
        SeriesNumber="2", InstanceNumber="5", KVP="120", NumberOfFrames="1",
    )  # fmt: skip
    both = captions(Opened(data).parsed.attributes, Annotation, 1, ())
    assert both.patient == ("Doe Jane", "ID 4711", "born 19700101", "F")
    assert both.technique == ("CT", "series 2", "image 5", "kV 120")
    upper = write(_BLACK, Captions(patient=both.patient))
    lower = write(_BLACK, Captions(technique=both.technique))
    assert upper[:128].max() == 255 == lower[128:].max()
    assert upper[128:].max() == 0 == lower[:128].max()


def test_nothing_is_said_of_what_was_not_asked_for() -> None:
    attributes = Opened(made(_BLACK, PatientID="4711")).parsed.attributes
    assert captions(attributes, [Annotation.TECHNIQUE], 1, ()).patient == ()


@pytest.mark.parametrize("name", ["Гусева^Анна", "山田^太郎", "김희중", "Buc^Jérôme Łuś", "שרון^דבורה", "قباني^لنزار"])
def test_a_name_is_written_whole_or_refused(name: str) -> None:
    attributes = Opened(made(_BLACK, SpecificCharacterSet="ISO_IR 192", PatientName=name)).parsed.attributes
    text = captions(attributes, [Annotation.PATIENT], 1, ())
    assert text.patient[0] == name.replace("^", " ")
    with pytest.raises(NotWritable) as refused:
        write(_BLACK, text)
    assert name not in str(refused.value)


@pytest.mark.skipif(not _DEJAVU.exists(), reason="Debian's fonts-dejavu-core is not on this machine")
def test_a_font_that_has_the_letters_writes_them_and_one_that_is_not_there_is_passed_over() -> None:
    fonts = ("/nowhere/at-all.ttf", str(_DEJAVU))
    assert write(_BLACK, Captions(("Гусева Анна",), fonts=fonts)).max() == 255
    assert write(_BLACK, Captions(("قباني", "שרון"), fonts=fonts)).max() == 255
    with pytest.raises(NotWritable):
        write(_BLACK, Captions(("山田",), fonts=fonts))


def test_the_names_of_every_charset_come_out_as_pydicom_reads_them(shared_data: Path) -> None:
    for path in sorted((shared_data / "charsets").glob("chr*.dcm")):
        dataset = pydicom.dcmread(path)
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"):
            setattr(dataset, keyword, "1.2.3")
        dataset.file_meta.MediaStorageSOPClassUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3")
        rewritten = io.BytesIO()
        dataset.save_as(rewritten)
        attributes = Opened(rewritten.getvalue()).parsed.attributes
        expected = str(dataset.get("PatientName", "")).split("=")[0].replace("^", " ").strip()
        shown = captions(attributes, [Annotation.PATIENT], 1, ()).patient
        assert not expected or shown[0] == expected, path.name


@pytest.mark.parametrize("colour", [False, True])
def test_a_loop_is_put_together_of_stills(colour: bool) -> None:
    rng = np.random.default_rng(3)
    frames = [rng.integers(0, 256, (20, 30, 3) if colour else (20, 30), dtype=np.uint8) for _ in range(4)]
    frames[1][:] = 7  # one with a short colour table
    stills = [encode(Drawn(each), View(media_type=MediaType.GIF)) for each in frames]
    loop = gif.head(*gif.size(stills[0])) + b"".join(gif.frame(each, 40) for each in stills) + gif.END
    moving = Image.open(io.BytesIO(loop))
    assert isinstance(moving, GifImageFile)
    assert (moving.n_frames, moving.size, moving.info["loop"], moving.info["duration"]) == (4, (30, 20), 0, 40)
    for number, still in enumerate(stills):
        moving.seek(number)
        assert np.array_equal(
            np.asarray(moving.convert("RGB")), np.asarray(Image.open(io.BytesIO(still)).convert("RGB"))
        )
