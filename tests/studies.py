"""Studies made from the sample for the tests: the same anatomy under other identifiers, with PHI planted in it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import Dataset, Sequence, dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import dcmwrite
from pydicom.uid import ExplicitVRLittleEndian


@dataclass(frozen=True, slots=True)
class Study:
    """A study on disk."""

    folder: Path
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uids: tuple[str, ...]
    phi: tuple[str, ...]
    """Every string in it that could name the patient, with the original UIDs."""


def uid_of(*parts: object) -> str:
    """A UID that is the same for the same parts."""
    digest = hashlib.sha256("\0".join(map(str, parts)).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:15], 'big')}"


def make_study(sample: Path, folder: Path, *, seed: str, shrink: int = 2, count: int = 50) -> Study:
    """Write a study of `count` slices (every second one of the sample by default) of 512/`shrink` pixels.

    Args:
        sample: the folder of the sample.
        folder: where the files go; made.
        seed: other seeds give other identifiers.
        shrink: take every n-th row and column; the pixel spacing grows with it.
        count: how many slices, spread over the whole chest.
    """
    folder.mkdir(parents=True)
    slices = sorted((dcmread(path) for path in sample.glob("*.dcm")), key=lambda ds: float(ds.ImagePositionPatient[2]))
    step = len(slices) // count
    study, series, frame = (uid_of(seed, what) for what in ("study", "series", "frame of reference"))
    tag = hashlib.sha256(seed.encode()).hexdigest()[:8].upper()
    phi = _Phi(tag)
    sops = []
    for number, ds in enumerate(slices[:: max(step, 1)][:count]):
        pixels = np.ascontiguousarray(ds.pixel_array[::shrink, ::shrink])
        sop = uid_of(seed, "instance", number)
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID, ds.SOPInstanceUID = study, series, frame, sop
        ds.Rows, ds.Columns = pixels.shape
        ds.PixelSpacing = [float(value) * shrink for value in ds.PixelSpacing]
        # Against the order of the slices on purpose: a volume is sorted by position.
        ds.InstanceNumber = count - number
        ds.file_meta.MediaStorageSOPInstanceUID = sop
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.file_meta.SourceApplicationEntityTitle = phi.ae_title
        ds.PixelData = pixels.tobytes()
        ds["PixelData"].VR = "OW"
        ds["PixelData"].is_undefined_length = False
        phi.plant(ds)
        buffer = DicomBytesIO()
        dcmwrite(buffer, ds, enforce_file_format=True)
        (folder / f"{number:04}.dcm").write_bytes(buffer.getvalue())
        sops.append(sop)
    return Study(folder, study, series, tuple(sops), (*phi.strings(), study, series, frame, *sops))


class _Phi:
    """Strings that occur nowhere else, in plain places and in hidden ones."""

    def __init__(self, tag: str) -> None:
        self._tag = tag
        self.family = f"Quorraveld{tag}"
        self.given = f"Zyphrine{tag}"
        self.ae_title = f"AE{tag}PHI"

    def strings(self) -> tuple[str, ...]:
        """All of them."""
        tag = self._tag
        return (
            self.family, self.given, self.ae_title, f"MRN-{tag}", f"ACC-{tag}", f"Ward {tag}", f"St. {tag} Hospital",
            f"Drummond{tag}", f"nested-{tag}", f"deep-{tag}", f"private-{tag}", f"told-{tag}", f"SN-{tag}",
            f"Operator{tag}",
        )  # fmt: skip

    def plant(self, ds: Dataset) -> None:
        tag = self._tag
        ds.PatientName = f"{self.family}^{self.given}"
        ds.PatientID = f"MRN-{tag}"
        ds.PatientBirthDate = "19470203"
        ds.PatientSex = "F"
        ds.AccessionNumber = f"ACC-{tag}"
        ds.InstitutionName = f"St. {tag} Hospital"
        ds.InstitutionalDepartmentName = f"Ward {tag}"
        ds.ReferringPhysicianName = f"Drummond{tag}^Ada"
        ds.OperatorsName = f"Operator{tag}"
        ds.DeviceSerialNumber = f"SN-{tag}"
        ds.StudyDescription = f"CT chest, told-{tag}"
        ds.PatientComments = f"{self.family}, {self.given}"
        deep = Dataset()
        deep.PatientName = f"deep-{tag}"
        nested = Dataset()
        nested.RequestedProcedureDescription = f"nested-{tag}"
        nested.ReferencedPatientSequence = Sequence([deep])
        ds.RequestAttributesSequence = Sequence([nested])
        block = ds.private_block(0x0099, "PLEXUS TEST", create=True)
        block.add_new(0x01, "LO", f"private-{tag}")
