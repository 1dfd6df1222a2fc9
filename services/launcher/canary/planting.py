"""Studies with a canary in every corner: every attribute, every sequence, private elements, overlays, headers, texts.

The image itself stays what it is: what describes pixels and geometry is left alone, so that the models run on it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydicom import Dataset, FileMetaDataset, Sequence, dcmread, dcmwrite
from pydicom._dicom_dict import DicomDictionary, RepeatersDictionary
from pydicom.dataelem import DataElement
from pydicom.tag import Tag
from pydicom.uid import (
    BasicTextSRStorage,
    EncapsulatedPDFStorage,
    ExplicitVRLittleEndian,
    GrayscaleSoftcopyPresentationStateStorage,
    SecondaryCaptureImageStorage,
)

from services.launcher.canary.canaries import Canaries

SLICES: Final = 48
_SIDE: Final = 256
_KEPT_GROUPS: Final = frozenset({0x0000, 0x0002, 0x0004, 0x0028, 0x5200, 0x7FE0})
_KEPT: Final = frozenset(
    {
        # identity of the object, and how it is read
        *("SOPClassUID", "Modality", "SpecificCharacterSet", "ImageType", "NumberOfFrames", "InstanceNumber"),
        *("SeriesNumber", "NumberOfTemporalPositions", "NumberOfSlices", "NumberOfTimeSlices", "NumberOfTimeSlots"),
        # what a model reads: geometry and calibration
        *("ImagePositionPatient", "ImageOrientationPatient", "SliceThickness", "SpacingBetweenSlices", "SliceLocation"),
        "ImagerPixelSpacing",
        *("GantryDetectorTilt", "PatientPosition", "AnatomicalOrientationType", "AcquisitionNumber"),
        *("TemporalPositionIdentifier", "TemporalPositionIndex", "StackID", "InStackPositionNumber", "TriggerTime"),
        *("DimensionIndexSequence", "DimensionOrganizationSequence", "DimensionOrganizationType"),
        # what selects the model, and what would close the airlock: that is tried apart
        *("BodyPartExamined", "TimezoneOffsetFromUTC", "EncapsulatedDocument"),
    }
)
"""Attributes that stay as they are."""
_PERSON: Final = {
    "PatientName": "PN", "PatientID": "LO", "PatientBirthDate": "DA", "AccessionNumber": "SH", "StudyID": "SH",
    "ReferringPhysicianName": "PN", "StudyDescription": "LO", "SeriesDescription": "LO", "StudyDate": "DA",
    "PatientComments": "LT", "InstitutionName": "LO",
}  # fmt: skip
"""What a search finds a study by."""
_APART: Final = frozenset(
    {
        *_PERSON,
        *("PatientSex", "StudyTime", "RequestAttributesSequence", "DataSetTrailingPadding"),
        *("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"),
    }
)
"""Attributes that get their canaries apart from the others."""
_MOST_IN_SLICE: Final = 700


@dataclass(frozen=True, slots=True)
class Planted:
    """A study to send.

    Attributes:
        what: for people.
        study_instance_uid: its canary.
        files: their paths.
        modelled: models are expected to run on it.
    """

    what: str
    study_instance_uid: str
    files: tuple[Path, ...]
    modelled: bool


def studies(sample: Path, folder: Path, canaries: Canaries) -> Iterator[Planted]:
    """Make them under `folder`, one after another.

    Args:
        sample: a folder with a chest CT, whose anatomy they have.
        canaries: takes note of each.
    """
    yield _chest(sample, folder / canaries.text("name of a folder"), canaries)
    yield _others(folder / canaries.text("name of a folder"), canaries)


def _chest(sample: Path, folder: Path, canaries: Canaries) -> Planted:
    """A chest CT on which the models run. Attributes are dealt out over its slices."""
    folder.mkdir(parents=True)
    slices = sorted((dcmread(path) for path in sample.glob("*.dcm")), key=lambda ds: float(ds.ImagePositionPatient[2]))
    chosen = slices[:: max(len(slices) // SLICES, 1)][:SLICES]
    study, series, frame = (
        canaries.uid(f"{keyword} of the CT")
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
    )
    elements = list(_elements(canaries))
    hands = [elements[at : at + _MOST_IN_SLICE] for at in range(0, len(elements), _MOST_IN_SLICE)]
    paths = []
    for number, ds in enumerate(chosen):
        step = ds.Rows // _SIDE
        pixels = np.ascontiguousarray(ds.pixel_array[::step, ::step])
        _fill(ds, hands[number % len(hands)])
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = study, series, frame
        ds.SOPInstanceUID = canaries.uid("SOPInstanceUID of a CT slice")
        ds.InstanceNumber = len(chosen) - number
        ds.Rows, ds.Columns = pixels.shape
        ds.PixelSpacing = [float(value) * step for value in ds.PixelSpacing]
        _person(ds, canaries, "the CT")
        _depths(ds, canaries)
        _private(ds, canaries)
        _overlay(ds, canaries)
        ds.PixelData = pixels.tobytes()
        ds["PixelData"].VR = "OW"
        ds.add_new(0xFFFCFFFC, "OB", canaries.value("OB", "DataSetTrailingPadding"))
        paths.append(_write(ds, folder / f"{canaries.text('name of a file')}.dcm", canaries))
    return Planted("chest CT, for the models", study, tuple(paths), modelled=True)


def _others(folder: Path, canaries: Canaries) -> Planted:
    """A report, a presentation state, a letter and a screenshot, of one study: no model takes them."""
    folder.mkdir(parents=True)
    study = canaries.uid("StudyInstanceUID of the documents")
    paths = []
    for make in (_report, _presentation, _letter, _screenshot):
        ds = make(canaries)
        ds.StudyInstanceUID = study
        ds.SeriesInstanceUID = canaries.uid(f"SeriesInstanceUID of {ds.Modality}")
        ds.SOPInstanceUID = canaries.uid(f"SOPInstanceUID of {ds.Modality}")
        ds.SeriesNumber = ds.InstanceNumber = 1
        _person(ds, canaries, str(ds.Modality))
        _depths(ds, canaries)
        _private(ds, canaries)
        paths.append(_write(ds, folder / f"{canaries.text('name of a file')}.dcm", canaries))
    return Planted("report, presentation state, letter, screenshot", study, tuple(paths), modelled=False)


def _elements(canaries: Canaries) -> Iterator[DataElement]:
    """An element of every attribute of the dictionary that can carry a canary; sequences carry one in an item."""
    for tag, (vrs, vm, name, _, keyword) in sorted(DicomDictionary.items()):
        group = tag >> 16
        if not keyword or group in _KEPT_GROUPS or keyword in _KEPT or keyword in _APART or tag & 0xFFFF == 0:
            continue
        vr = vrs.split(" ")[0]
        if vr == "SQ":
            item = Dataset()
            item.CodeMeaning = canaries.text(f"CodeMeaning in {keyword}")
            item.PersonName = f"{canaries.text(f'PersonName in {keyword}')}^X"
            item.add_new(0x00090010, "LO", canaries.text(f"private creator in {keyword}"))
            item.add_new(0x00091001, "LO", canaries.text(f"private element in {keyword}"))
            yield DataElement(Tag(tag), "SQ", Sequence([item]))
            continue
        value = canaries.value(vr, keyword or name)
        if value is not None:
            # As many values as it has to have, or their repetition: one canary sings for all of them.
            count = int(vm.partition("-")[0])
            yield DataElement(Tag(tag), vr, value if count == 1 else [value] * count)
    for pattern, (vrs, _, _, _, keyword) in sorted(RepeatersDictionary.items()):
        vr = vrs.split(" ")[0]
        if keyword and pattern.startswith("50") and (value := canaries.value(vr, f"{keyword} (curve)")) is not None:
            yield DataElement(Tag(int(pattern.replace("x", "0"), 16)), vr, value)


def _fill(ds: Dataset, elements: list[DataElement]) -> None:
    for element in elements:
        ds[element.tag] = element


def _person(ds: Dataset, canaries: Canaries, where: str) -> None:
    """What a search finds a study by."""
    for keyword, vr in _PERSON.items():
        setattr(ds, keyword, canaries.value(vr, f"{keyword} of {where}"))
    ds.PatientSex, ds.StudyTime = "O", "101112"


def _depths(ds: Dataset, canaries: Canaries) -> None:
    """Items within items."""
    innermost = Dataset()
    innermost.PatientName = f"{canaries.text('PatientName, five levels deep')}^X"
    for depth in (4, 3, 2, 1):
        outer = Dataset()
        outer.RequestedProcedureDescription = canaries.text(f"RequestedProcedureDescription, {depth} levels deep")
        outer.ReferencedPatientSequence = Sequence([innermost])
        innermost = outer
    ds.RequestAttributesSequence = Sequence([innermost])


def _private(ds: Dataset, canaries: Canaries) -> None:
    """Private elements: known creators and unknown ones, texts, bytes, and sequences."""
    for group, creator in ((0x0009, "SIEMENS CSA HEADER"), (0x0019, "PLEXUS CANARY"), (0x0099, "GEMS_PARM_01")):
        block = ds.private_block(group, creator, create=True)
        block.add_new(0x01, "LO", canaries.text(f"private text of {creator}"))
        block.add_new(0x02, "UN", canaries.value("UN", f"private bytes of {creator}"))
        item = Dataset()
        item.PatientName = f"{canaries.text(f'PatientName in a private sequence of {creator}')}^X"
        block.add_new(0x03, "SQ", Sequence([item]))


def _overlay(ds: Dataset, canaries: Canaries) -> None:
    """An overlay plane (PS3.3 C.9.2) whose bits are a text."""
    bits = ds.Rows * ds.Columns // 8
    text = canaries.text("OverlayData").encode() + b" "
    ds.add_new(0x60000010, "US", ds.Rows)
    ds.add_new(0x60000011, "US", ds.Columns)
    ds.add_new(0x60000022, "LO", canaries.text("OverlayDescription"))
    ds.add_new(0x60000040, "CS", "G")
    ds.add_new(0x60000050, "SS", [1, 1])
    ds.add_new(0x60000100, "US", 1)
    ds.add_new(0x60000102, "US", 0)
    ds.add_new(0x60001500, "LO", canaries.text("OverlayLabel"))
    ds.add_new(0x60003000, "OW", (text * (bits // len(text) + 1))[:bits])


def _report(canaries: Canaries) -> Dataset:
    ds = _object(BasicTextSRStorage, "SR")
    ds.CompletionFlag, ds.VerificationFlag, ds.ValueType, ds.ContinuityOfContent = (
        "COMPLETE", "UNVERIFIED", "CONTAINER", "SEPARATE",
    )  # fmt: skip
    ds.ContentDate, ds.ContentTime = "20200101", "101112"
    items = []
    for value_type, keyword, value in (
        ("TEXT", "TextValue", canaries.text("TextValue of a content item")),
        ("PNAME", "PersonName", f"{canaries.text('PersonName of a content item')}^X"),
        ("UIDREF", "UID", canaries.uid("UID of a content item")),
    ):
        item = Dataset()
        item.RelationshipType, item.ValueType = "CONTAINS", value_type
        item.ConceptNameCodeSequence = Sequence(
            [_code("121106", "DCM", canaries.text("CodeMeaning of a content item"))]
        )
        setattr(item, keyword, value)
        items.append(item)
    ds.ConceptNameCodeSequence = Sequence([_code("18748-4", "LN", "Diagnostic Imaging Report")])
    ds.ContentSequence = Sequence(items)
    return ds


def _presentation(canaries: Canaries) -> Dataset:
    ds = _object(GrayscaleSoftcopyPresentationStateStorage, "PR")
    ds.ContentLabel, ds.ContentDescription = "LABEL", canaries.text("ContentDescription")
    ds.ContentCreatorName = f"{canaries.text('ContentCreatorName')}^X"
    text = Dataset()
    text.UnformattedTextValue = canaries.text("UnformattedTextValue")
    annotation = Dataset()
    annotation.GraphicLayer = "TEXT"
    annotation.TextObjectSequence = Sequence([text])
    ds.GraphicAnnotationSequence = Sequence([annotation])
    return ds


def _letter(canaries: Canaries) -> Dataset:
    ds = _object(EncapsulatedPDFStorage, "DOC")
    ds.BurnedInAnnotation, ds.MIMETypeOfEncapsulatedDocument = "YES", "application/pdf"
    ds.DocumentTitle = canaries.text("DocumentTitle")
    letter = f"%PDF-1.4\n% Dear {canaries.text('text of a PDF')}\n%%EOF\n".encode()
    ds.EncapsulatedDocument = letter + b"\0" * (len(letter) % 2)
    return ds


def _screenshot(canaries: Canaries) -> Dataset:
    ds = _object(SecondaryCaptureImageStorage, "OT")
    ds.ConversionType, ds.BurnedInAnnotation = "WSD", "YES"
    ds.Rows = ds.Columns = 64
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 8, 8, 7
    text = canaries.text("bytes of pixels").encode()
    ds.PixelData = (text * (64 * 64 // len(text) + 1))[: 64 * 64]
    ds["PixelData"].VR = "OB"
    return ds


def _object(sop_class_uid: str, modality: str) -> Dataset:
    ds = Dataset()
    ds.SOPClassUID, ds.Modality = sop_class_uid, modality
    ds.Manufacturer = "Plexus"
    return ds


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


def _write(ds: Dataset, path: Path, canaries: Canaries) -> Path:
    """Write a PS3.10 file, with canaries in the preamble and in the file meta information."""
    meta: Any = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = canaries.uid("ImplementationClassUID")
    meta.ImplementationVersionName = canaries.text("ImplementationVersionName")
    meta.SourceApplicationEntityTitle = canaries.text("SourceApplicationEntityTitle")
    meta.PrivateInformationCreatorUID = canaries.uid("PrivateInformationCreatorUID")
    meta.PrivateInformation = canaries.value("OB", "PrivateInformation")
    ds.file_meta = meta
    ds.preamble = canaries.text("the preamble").encode().ljust(128, b"\0")
    buffer = io.BytesIO()
    dcmwrite(buffer, ds, enforce_file_format=True)
    path.write_bytes(buffer.getvalue())
    return path
