"""What is written onto an image when a client asks for annotations (PS3.18 8.3.5.1.1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.dicom import dicom_json
from services.pixels.rendering.view import Annotation


@dataclass(frozen=True, slots=True)
class Captions:
    """Lines of text.

    Attributes:
        patient: for the upper left corner.
        technique: for the lower left corner.
        fonts: files to write with, best first, before the built-in one that has little more than English.
    """

    patient: tuple[str, ...] = ()
    technique: tuple[str, ...] = ()
    fonts: tuple[str, ...] = ()


def captions(
    attributes: Mapping[str, Any], wanted: Iterable[Annotation], number: int, fonts: Sequence[str]
) -> Captions:
    """Gather what is asked for out of the data set as DICOM JSON; `number` is the frame's, from 1."""
    asked = frozenset(wanted)
    patient = _present(attributes, ("", "PatientName"), ("ID ", "PatientID"), ("born ", "PatientBirthDate"),
                       ("", "PatientSex")) if Annotation.PATIENT in asked else ()  # fmt: skip
    technique: tuple[str, ...] = ()
    if Annotation.TECHNIQUE in asked:
        technique = _present(
            attributes,
            *(("", "Modality"), ("", "StudyDate"), ("series ", "SeriesNumber"), ("image ", "InstanceNumber")),
            *(("location ", "SliceLocation"), ("thickness ", "SliceThickness"), ("kV ", "KVP")),
            *(("TR ", "RepetitionTime"), ("TE ", "EchoTime")),
        )
        if dicom_json.text(attributes, "NumberOfFrames") not in ("", "1"):
            technique += (f"frame {number}",)
    return Captions(patient, technique, tuple(fonts))


def _present(attributes: Mapping[str, Any], *named: tuple[str, str]) -> tuple[str, ...]:
    found = ((label, dicom_json.text(attributes, keyword)) for label, keyword in named)
    # A person's name as it is written in Latin letters, or in the first way that it has (PS3.5 6.2.1.1).
    texts = ((label, next(filter(None, text.split("=")), "").replace("^", " ").strip()) for label, text in found)
    return tuple(f"{label}{text}" for label, text in texts if text)
