"""DICOM files to try things on: those that pydicom ships, and the larger set of this workplace where it lies."""

import zlib
from pathlib import Path

import pydicom
import pydicom.data
from pydicom.dataset import Dataset, FileDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from services.dicom.part10 import file_header

_SHIPPED = Path(pydicom.data.__file__).parent
_WORKPLACE = Path("/work/shared/data")
"""Not part of the repository: the tests say nothing when it is absent, they just try fewer files."""


def shipped(name: str) -> bytes:
    """Reads one of the files that come with pydicom."""
    return next(_SHIPPED.glob(f"*/{name}")).read_bytes()


def every_file() -> list[Path]:
    """All files there are, most of them good, some of them broken."""
    folders = (_SHIPPED / "test_files", _SHIPPED / "charset_files", _WORKPLACE)
    paths = (path for folder in folders for path in sorted(folder.rglob("*")))
    return [path for path in paths if path.is_file() and path.suffix in ("", ".dcm")]


def names(path: Path) -> str:
    """A short test id."""
    return f"{path.parent.name}/{path.name}"


def minimal(**attributes: object) -> Dataset:
    """A data set with what identifies an instance, and these attributes over it (None takes one away)."""
    ds = Dataset()
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = "1.2.3.4"
    ds.StudyInstanceUID = "1.2.3"
    ds.SeriesInstanceUID = "1.2.3.1"
    ds.PatientName = "Doe^Jane"
    for keyword, value in attributes.items():
        if value is None:
            del ds[keyword]
        else:
            setattr(ds, keyword, value)
    return ds


def encoded(ds: Dataset, transfer_syntax_uid: str = ExplicitVRLittleEndian) -> bytes:
    """Writes the data set alone."""
    syntax = pydicom.uid.UID(transfer_syntax_uid)
    buffer = DicomBytesIO()
    buffer.is_implicit_VR = syntax.is_implicit_VR
    buffer.is_little_endian = syntax.is_little_endian
    write_dataset(buffer, ds)
    return buffer.getvalue()


def file_of(ds: Dataset, transfer_syntax_uid: str = ExplicitVRLittleEndian, *, deflate: bool = False) -> bytes:
    """Writes a whole PS3.10 file."""
    content = encoded(ds, transfer_syntax_uid)
    if deflate:
        stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        content = stream.compress(content) + stream.flush()
        transfer_syntax_uid = "1.2.840.10008.1.2.1.99"
    header = file_header(
        transfer_syntax_uid=transfer_syntax_uid,
        sop_class_uid=str(ds.get("SOPClassUID", "")),
        sop_instance_uid=str(ds.get("SOPInstanceUID", "")),
    )
    return header + content


def read(data: bytes) -> FileDataset:
    """Reads with pydicom."""
    return pydicom.dcmread(DicomBytesIO(data))
