"""Small instances, made for a test: whole PS3.10 files with the attributes that the test asks for."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from services.dicom import uids


def made(side: int = 8, **attributes: Any) -> bytes:
    """A CT instance of `side` × `side` pixels; UIDs are new unless given. A value of None leaves the attribute out."""
    ds = Dataset()
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = uids.new_uid()
    ds.StudyInstanceUID = uids.new_uid()
    ds.SeriesInstanceUID = uids.new_uid()
    ds.PatientName = "Muster^Maria"
    ds.PatientID = "P-1"
    ds.StudyDate = "20240229"
    ds.StudyTime = "101500"
    ds.Modality = "CT"
    ds.SeriesNumber = 1
    ds.InstanceNumber = 1
    ds.Rows = ds.Columns = side
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit = 15
    ds.PixelRepresentation = 0
    ds.PixelData = bytes(2 * side * side)
    for keyword, value in attributes.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    return written(ds)


def written(ds: Dataset) -> bytes:
    """The data set as a PS3.10 file."""
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.get("SOPClassUID", CTImageStorage)
    ds.file_meta.MediaStorageSOPInstanceUID = ds.get("SOPInstanceUID", "2.25.1")
    file = BytesIO()
    dcmwrite(file, ds, enforce_file_format=True)
    return file.getvalue()
