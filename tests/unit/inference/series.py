"""Small CT series made up for the tests, and the work-store entries of a job that has them as input."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

ROWS, COLUMNS = 6, 8
Change = Callable[[Dataset, int], None]


def pixels(index: int) -> NDArray[np.int16]:
    """Stored values of the slice `index`: all different from those of other slices."""
    return (np.arange(ROWS * COLUMNS, dtype=np.int16) + 100 * index).reshape(ROWS, COLUMNS)


def make_slice(index: int, change: Change = lambda ds, index: None) -> bytes:
    """A CT slice at z = 2.5 mm x index, as a PS3.10 file. `change` may spoil it."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = CTImageStorage
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"2.25.1000{index}"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "2.25.1", "2.25.2"
    ds.Modality = "CT"
    ds.InstanceNumber = 1000 - index
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.ImagePositionPatient = [-10, -20, 2.5 * index]
    ds.PixelSpacing = [0.8, 0.7]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = ROWS, COLUMNS
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = -1024, 1, "HU"
    ds.PixelData = pixels(index).tobytes()
    change(ds, index)
    file = BytesIO()
    ds.save_as(file, enforce_file_format=True)
    return file.getvalue()


def released(
    count: int, *, job_id: str = "job1", change: Change = lambda ds, index: None, model: str = "toy"
) -> dict[str, bytes]:
    """The work store after `anonymise` released a job: files in an order that is not that of the slices."""
    folder = f"jobs/{job_id}/input"
    order = sorted(range(count), key=lambda index: (index * 7) % count)
    files = {f"{number:05}.dcm": make_slice(index, change) for number, index in enumerate(order)}
    manifest = {
        "schema": 1,
        "job_id": job_id,
        "model": model,
        "model_version": "1.0.0",
        "instances": [
            {
                "file": name,
                "sop_instance_uid": f"2.25.1000{index}",
                "sha256": hashlib.sha256(data).hexdigest(),
                "bytes": len(data),
            }
            for (name, data), index in zip(files.items(), order, strict=True)
        ],
    }
    store = {f"{folder}/{name}": data for name, data in files.items()}
    return store | {f"{folder}/manifest.json": json.dumps(manifest).encode()}
