"""Objects made from de-identified images, by other people's tools, find the study, the series, the instances, the frame
of reference and the patient that they belong to."""

import io
from dataclasses import dataclass
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset
from pydicom.sr.codedict import codes
from pydicom.uid import UID, UID_dictionary  # type: ignore[attr-defined]  # there, only not declared

from services.anonymise.adapters.key_file import read_keys, rotate
from services.anonymise.engine.deidentifying import Policy, deidentify
from services.anonymise.engine.options import Option
from services.anonymise.engine.profile import Profile
from services.anonymise.engine.pseudonyms import Pseudonyms
from services.anonymise.engine.wayback import WayBack, restored

DEVICE = {
    "manufacturer": "Plexus",
    "manufacturer_model_name": "test",
    "software_versions": "1",
    "device_serial_number": "1",
}
MOVED = Profile("moved", options=frozenset((Option.RETAIN_MODIFIED_DATES,)))


@dataclass
class Released:
    """A series in the hospital, and what left of it."""

    originals: list[bytes]
    left: list[FileDataset]
    uids: dict[str, str]


def release(originals: list[bytes], pseudonyms: Pseudonyms, known: dict[str, str] | None = None) -> Released:
    done = [deidentify(data, Policy(pseudonyms, MOVED)) for data in originals]
    uids = {pseudonym.uid: original for one in done for original, pseudonym in one.uids.items()}
    return Released(originals, [pydicom.dcmread(io.BytesIO(one.data)) for one in done], {**(known or {}), **uids})


@pytest.fixture(scope="module")
def originals(sample: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(sample.glob("*.dcm"))[:3]]


def made(kind: str, sources: list[FileDataset]) -> Dataset:
    """An object of a kind, made from `sources` as a model of somebody else would."""
    common = {"series_instance_uid": UID("2.25.1"), "series_number": 9, "sop_instance_uid": UID("2.25.2")}
    if kind == "SEG":
        segment = hd.seg.SegmentDescription(
            1,
            "liver",
            codes.SCT.Organ,
            codes.SCT.Liver,
            hd.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        mask = np.zeros((len(sources), sources[0].Rows, sources[0].Columns), bool)
        mask[:, 3:9, 3:9] = True
        return hd.seg.Segmentation(sources, mask, "BINARY", [segment], instance_number=1, **common, **DEVICE)
    if kind == "PM":
        values = np.ones((len(sources), sources[0].Rows, sources[0].Columns), np.float32)
        mapping = hd.pm.RealWorldValueMapping("1", "one", codes.UCUM.NoUnits, (0.0, 2.0), intercept=0, slope=1)
        made_of = {"contains_recognizable_visual_features": False, "real_world_value_mappings": [mapping]}
        window = {"voi_lut_transformations": [hd.VOILUTTransformation(window_center=1.0, window_width=2.0)]}
        return hd.pm.ParametricMap(sources, values, instance_number=1, **made_of, **window, **common, **DEVICE)
    if kind == "SR":
        observer = hd.sr.ObserverContext(codes.DCM.Device, hd.sr.DeviceObserverIdentifyingAttributes(UID("2.25.7")))
        group = hd.sr.MeasurementsAndQualitativeEvaluations(
            tracking_identifier=hd.sr.TrackingIdentifier(UID("2.25.8"), "one"),
            source_images=[hd.sr.SourceImageForMeasurementGroup.from_source_image(source) for source in sources],
        )
        report = hd.sr.MeasurementReport(
            hd.sr.ObservationContext(observer_device_context=observer), codes.LN.CTUnspecifiedBodyRegion, [group]
        )
        return hd.sr.ComprehensiveSR(sources, report, instance_number=1, manufacturer="Plexus", **common)
    if kind == "SC":
        shown = np.zeros((8, 8), np.uint8)
        return hd.sc.SCImage.from_ref_dataset(
            sources[0],
            pixel_array=shown,
            photometric_interpretation="MONOCHROME2",
            bits_allocated=8,
            coordinate_system="PATIENT",
            patient_orientation=("L", "P"),
            instance_number=1,
            manufacturer="Plexus",
            **common,
        )
    if kind == "GSPS":
        return hd.pr.GrayscaleSoftcopyPresentationState(
            sources,
            instance_number=1,
            content_label="SHOWN",
            concept_name=None,
            **common,
            **DEVICE,
        )
    return document(kind, sources)


def document(kind: str, sources: list[FileDataset]) -> Dataset:
    """An encapsulated document (PS3.3 A.45, A.85) by pydicom alone."""
    ds = Dataset()
    ds.file_meta = pydicom.dataset.FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.104." + {"PDF": "1", "STL": "3"}[kind]
    ds.SOPInstanceUID, ds.SeriesInstanceUID, ds.Modality = "2.25.2", "2.25.1", "DOC"
    for name in ("StudyInstanceUID", "PatientID", "PatientName", "FrameOfReferenceUID"):
        setattr(ds, name, getattr(sources[0], name))
    ds.SourceInstanceSequence = [Dataset() for _ in sources]
    for item, source in zip(ds.SourceInstanceSequence, sources, strict=True):
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = source.SOPClassUID, source.SOPInstanceUID
    ds.MIMEType = {"PDF": "application/pdf", "STL": "model/stl"}[kind]
    ds.EncapsulatedDocument = {"PDF": b"%PDF-1.4\n", "STL": bytes(84)}[kind]
    return ds


def written(ds: Dataset) -> bytes:
    out = io.BytesIO()
    ds.save_as(out, enforce_file_format=True)
    return out.getvalue()


def named(ds: Dataset) -> list[str]:
    """Every UID in an object that the standard does not register, in order."""
    values = [elem.value for elem in ds.iterall() if elem.VR == "UI" and elem.value]
    found = (str(uid) for value in values for uid in ([value] if isinstance(value, str) else value))
    return [uid for uid in found if uid not in UID_dictionary]


def came_home(released: Released, kind: str) -> tuple[Dataset, Dataset]:
    """An object made of what left, restored; and the same made of the originals, as it has to be."""
    way = WayBack.to(released.originals[0], released.uids)
    got = pydicom.dcmread(io.BytesIO(restored(written(made(kind, released.left)), way)))
    source = pydicom.dcmread(io.BytesIO(released.originals[0]))
    expected = made(kind, [pydicom.dcmread(io.BytesIO(data)) for data in released.originals])
    assert not set(named(got)) & released.uids.keys(), "a pseudonym is left"
    theirs = set(released.uids.values())
    assert [uid for uid in named(got) if uid in theirs] == [uid for uid in named(expected) if uid in theirs]
    for keyword in ("StudyInstanceUID", "PatientID", "PatientName", "StudyDate", "AccessionNumber"):
        assert got[keyword].value == source[keyword].value, keyword
    assert "PatientIdentityRemoved" not in got
    return got, expected


@pytest.mark.parametrize("kind", ["SEG", "PM", "SR", "SC", "GSPS", "PDF", "STL"])
def test_an_object_of_any_kind_finds_its_way_home(kind: str, originals: list[bytes]) -> None:
    released = release(originals, Pseudonyms(b"k" * 32))
    got, expected = came_home(released, kind)
    if "FrameOfReferenceUID" in expected:
        assert got.FrameOfReferenceUID == pydicom.dcmread(io.BytesIO(originals[0])).FrameOfReferenceUID
    if kind != "SC":  # a capture names no image
        instances = {str(pydicom.dcmread(io.BytesIO(data)).SOPInstanceUID) for data in originals}
        assert instances <= set(named(got))
    for keyword in ("PixelData", "FloatPixelData", "EncapsulatedDocument"):
        assert got.get(keyword, b"").rstrip(b"\0") == expected.get(keyword, b"").rstrip(b"\0")


def test_what_left_before_the_key_was_rotated_still_comes_home(originals: list[bytes], tmp_path: Path) -> None:
    path = tmp_path / "anonymise.key"
    path.write_bytes(b"k" * 32)
    path.chmod(0o600)
    before = read_keys(path).current
    earlier = release(originals, before)
    keys = rotate(path)
    assert keys.current != before and keys.by_id[before.key_id] == before
    assert path.stat().st_mode & 0o777 == 0o600
    later = release(originals, keys.current, known=earlier.uids)
    assert {str(ds.SOPInstanceUID) for ds in earlier.left}.isdisjoint(str(ds.SOPInstanceUID) for ds in later.left)
    for left in (earlier.left, later.left):
        came_home(Released(originals, left, later.uids), "SEG")


def test_a_late_instance_makes_a_revision_whose_results_come_home_too(originals: list[bytes]) -> None:
    first = release(originals[:-1], Pseudonyms(b"k" * 32))
    revised = release(originals, Pseudonyms(b"k" * 32))
    assert [ds.SOPInstanceUID for ds in first.left] == [ds.SOPInstanceUID for ds in revised.left][: len(first.left)]
    for released in (first, revised):
        came_home(released, "SEG")


def test_a_uid_of_the_model_itself_stays(originals: list[bytes]) -> None:
    released = release(originals, Pseudonyms(b"k" * 32))
    got, _ = came_home(released, "SEG")
    assert (got.SeriesInstanceUID, got.SOPInstanceUID) == ("2.25.1", "2.25.2")
    assert got.file_meta.MediaStorageSOPInstanceUID == "2.25.2"
