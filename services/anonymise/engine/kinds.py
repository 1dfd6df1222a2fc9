"""Kinds of objects, as a profile names them: which of them may leave is the first thing that it says."""

from __future__ import annotations

from enum import StrEnum
from functools import cache

from services.anonymise.engine.pseudonyms import is_well_known

_STORAGE = "1.2.840.10008.5.1.4.1.1."


class Kind(StrEnum):
    """What a SOP class holds, by what has to be done before it may leave."""

    IMAGE_VOLUMES = "image-volumes"
    """Reconstructed images: CT, MR, PET, NM, tomosynthesis. Nobody types or photographs into their pixels."""
    PICTURES = "pictures"
    """Projected, photographed and captured images: their pixels may show text. Let out only with Burned In Annotation
    NO, or after a cleaner of pixels has seen them."""
    SEGMENTATIONS = "segmentations"
    PARAMETRIC_MAPS = "parametric-maps"
    REGISTRATIONS = "registrations"
    """Registrations, fiducials, real world value mappings, stereometric relations: numbers and references."""
    SURFACES = "surfaces"
    PRESENTATION_STATES = "presentation-states"
    STRUCTURED_REPORTS = "structured-reports"
    WAVEFORMS = "waveforms"
    """ECG, EEG and other signals; not audio: a voice is a person."""
    RADIOTHERAPY = "radiotherapy"
    ANNOTATIONS = "annotations"
    MEASUREMENTS = "measurements"
    """Ophthalmic measurements and maps without pictures, MR spectra, content assessments."""
    DOCUMENTS = "encapsulated-documents"
    """PDF, CDA, STL, OBJ, MTL. The profile's `documents` says what becomes of the document."""


_VOLUMES = ("2", "2.1", "2.2", "4", "4.1", "4.4", "13.1.1", "13.1.2", "13.1.3", "20", "128", "128.1", "130")
_BY_PREFIX = (  # the longest that fits
    (Kind.IMAGE_VOLUMES, _VOLUMES),
    (Kind.PICTURES, ("1", "3.1", "4.3", "6", "7", "12", "13.1.4", "13.1.5", "14", "77.1", "481.1", "481.23", "481.24")),
    (Kind.SEGMENTATIONS, ("66.4", "66.7", "66.8")),
    (Kind.PARAMETRIC_MAPS, ("30",)),
    (Kind.REGISTRATIONS, ("66.1", "66.2", "66.3", "67", "77.1.5.3")),
    (Kind.SURFACES, ("66.5", "66.6", "68.1", "68.2")),
    (Kind.PRESENTATION_STATES, ("11",)),
    (Kind.STRUCTURED_REPORTS, ("88",)),
    (Kind.WAVEFORMS, ("9.1", "9.2", "9.3", "9.5", "9.6", "9.7", "9.8")),
    (Kind.RADIOTHERAPY, ("481",)),
    (Kind.ANNOTATIONS, ("91.1",)),
    (Kind.MEASUREMENTS, ("4.2", "78", "79", "80", "81", "82", "90")),
    (Kind.DOCUMENTS, ("104",)),
)
_EXACT = frozenset(_VOLUMES)
"""These have other kinds below them."""


@cache
def kind_of(sop_class_uid: str) -> Kind | None:
    """The kind of a SOP class; None for what nobody can clean: raw data, private and retired classes, audio, media
    directories."""
    if not sop_class_uid.startswith(_STORAGE) or not is_well_known(sop_class_uid):
        return None
    number = sop_class_uid.removeprefix(_STORAGE)
    fitting = [
        (len(prefix), kind)
        for kind, prefixes in _BY_PREFIX
        for prefix in prefixes
        if number == prefix or (prefix not in _EXACT and number.startswith(f"{prefix}."))
    ]
    return max(fitting, default=(0, None), key=lambda found: found[0])[1]
