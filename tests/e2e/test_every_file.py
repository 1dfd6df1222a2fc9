"""Every file of the wider data set goes in by STOW-RS and by C-STORE and comes back as it was, or is refused as stated.

Many files of the set share their UIDs, and all may be in the mesh already: each goes under UIDs of the test's own,
spliced into its bytes. All other bytes stay.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import pytest
from pydicom.dataelem import RawDataElement
from pydicom.filereader import dcmread, read_dataset
from pydicom.uid import UID, ExplicitVRBigEndian, ImplicitVRLittleEndian, SecondaryCaptureImageStorage
from pynetdicom import AE, _config
from pynetdicom.association import Association

from services.dicom.part10 import InstanceError, file_header
from services.dicom.transfer_syntaxes import DEFLATED_LITTLE_ENDIAN, EXPLICIT_LITTLE_ENDIAN
from services.pixels.decoding import Decoded, conformed, decode, native
from tests.conftest import SHARED_DATA
from tests.mesh import Site
from tests.studies import uid_of
from tests.unit.pixels.images import Image, read
from tests.unit.pixels.test_decoding import BROKEN, wanted

pytestmark = pytest.mark.usefixtures("shared_data")

_IDENTIFYING = (0x0008_0018, 0x0020_000D, 0x0020_000E)
_META_INSTANCE = 0x0002_0003
_META_BEGINS, _META_VALUES = 132, 144
_UID_LENGTH = 42
"""Even: nothing has to be added to such a value (PS3.5 6.2, UI)."""
_FEW = 10
"""A series of more CT slices would have the models run on it."""

SAME_FRAMES = {"liver_deflate.dcm": "seg-liver-ct/liver.dcm", "liver_rle.dcm": "seg-liver-ct/liver.dcm"}
"""What pydicom cannot decode, and the same pixels where it can."""

NATIVE = ("badVR.dcm", "SC_ybr_full_422_uncompressed.dcm")
"""Little endian as they are; pydicom stumbles over another element of the one, and spreads the colours of the other."""

REFUSED = {
    # by STOW-RS (Failure Reason), by C-STORE (status, where a data set can be sent at all)
    "charsets/chrSQEncoding.dcm": (0xA900, 0xA900),
    "charsets/chrSQEncoding1.dcm": (0xA900, 0xA900),
    "dicomdir/DICOMDIR": (0x0122, None),
    "dicomdir/DICOMDIR-bigEnd": (0x0122, None),
    "dicomdir/DICOMDIR-empty.dcm": (0x0122, None),
    "dicomdir/DICOMDIR-implicit": (0x0122, None),
    "dicomdir/DICOMDIR-nooffset": (0x0122, None),
    "dicomdir/DICOMDIR-nopatient": (0x0122, None),
    "dicomdir/DICOMDIR-reordered": (0x0122, None),
    "dicomdir/TINY_ALPHA/DICOMDIR": (0x0122, None),
    "malformed/ExplVR_BigEndNoMeta.dcm": (0xC000, 0x0000),
    "malformed/ExplVR_LitEndNoMeta.dcm": (0xC000, 0xB000),
    "malformed/MR_truncated.dcm": (0xC000, 0xC000),
    "malformed/OT-PAL-8-face.dcm": (0xC000, 0x0000),
    "malformed/UN_sequence.dcm": (0xA900, 0xA900),
    "malformed/bad_sequence.dcm": (0xA900, 0xA900),
    "malformed/empty_charset_LEI.dcm": (0xA900, 0xA900),
    "malformed/meta_missing_tsyntax.dcm": (0xC000, 0xA900),
    "malformed/nested_priv_SQ.dcm": (0xA900, 0xA900),
    "malformed/no_meta.dcm": (0xC000, 0xC000),
    "malformed/no_meta_group_length.dcm": (0xA900, 0xA900),
    "malformed/priv_SQ.dcm": (0xA900, 0xA900),
    "malformed/rtplan_truncated.dcm": (0xC000, 0xC000),
    "multiframe/emri_small_jpeg_2k_lossless_too_short.dcm": (0xC000, 0xC000),
    "syntaxes-color/HTJ2KLossless_08_RGB.dcm": (0xA900, 0xA900),
    "syntaxes-color/SC_rgb_jls_lossy_line.dcm": (0xA900, 0xA900),
    "syntaxes-color/SC_rgb_jls_lossy_sample.dcm": (0xA900, 0xA900),
    "wsi/sm-140tiles-jpeg.dcm": (0xA900, 0xA900),
}

_SYNTAXES = {
    "malformed/ExplVR_BigEndNoMeta.dcm": ExplicitVRBigEndian,
    "malformed/OT-PAL-8-face.dcm": ImplicitVRLittleEndian,
}


def _dicom_files() -> Iterator[Path]:
    for path in sorted(SHARED_DATA.rglob("*")):
        if path.is_file() and ("malformed" in path.parts or path.read_bytes()[128:132] == b"DICM"):
            yield path


FOLDERS = sorted({path.relative_to(SHARED_DATA).parts[0] for path in _dicom_files()})


@dataclass(frozen=True)
class Whole:
    """A file of the set that can be stored, and what is sent of it."""

    image: Image
    data: bytes
    study: str
    series: str
    instance: str

    @property
    def data_set(self) -> bytes:
        """Without the file meta information."""
        return self.data[_meta_end(self.data) :]

    @property
    def url(self) -> str:
        """Where it is to be had."""
        return f"/dicom-web/studies/{self.study}/series/{self.series}/instances/{self.instance}"


def _meta_end(data: bytes) -> int:
    return _META_VALUES + int.from_bytes(data[_META_VALUES - 4 : _META_VALUES], "little")


def _spliced(encoded: bytes, uids: dict[int, str], syntax: UID) -> bytes:
    """Put other values into elements of VR UI of the outermost data set."""
    order = "<" if syntax.is_little_endian else ">"
    ds = read_dataset(BytesIO(encoded), syntax.is_implicit_VR, syntax.is_little_endian)
    for tag, uid in sorted(uids.items(), reverse=True):
        element: object = ds.get_item(tag)
        if not isinstance(element, RawDataElement):  # not there, of the file meta information
            continue
        at, end = element.value_tell, element.value_tell + element.length
        length = struct.pack(order + ("H" if encoded[at - 4 : at - 2] == b"UI" else "I"), len(uid))
        encoded = encoded[: at - len(length)] + length + uid.encode() + encoded[end:]
    return encoded


@cache
def _image(path: Path) -> Image | None:
    try:
        return read(path.read_bytes(), path)
    except InstanceError:
        return None


def _named(image: Image, way: str, number: int) -> Whole:
    """A file under UIDs of its own, in a series of few."""
    path, data, parsed, syntax = image.path, image.data, image.parsed, UID(image.syntax)
    study, series, instance = (
        uid_of("every file", way, *what).ljust(_UID_LENGTH, "0")
        for what in (
            (path.parent, parsed.study_instance_uid),
            (path.parent, parsed.study_instance_uid, parsed.series_instance_uid, number // _FEW),
            (path,),
        )
    )
    meta, body = data[_META_BEGINS : _meta_end(data)], data[_meta_end(data) :]
    uids = dict(zip(_IDENTIFYING, (instance, study, series), strict=True))
    if syntax == DEFLATED_LITTLE_ENDIAN:
        deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        body = deflate.compress(_spliced(zlib.decompress(body, -zlib.MAX_WBITS), uids, syntax)) + deflate.flush()
    else:
        body = _spliced(body, uids, syntax)
    meta = _spliced(meta, {_META_INSTANCE: instance}, UID(EXPLICIT_LITTLE_ENDIAN))
    meta = meta[:8] + (len(meta) - 12).to_bytes(4, "little") + meta[12:]
    named = data[:_META_BEGINS] + meta + body
    return Whole(image, named, study, series, instance)


def _whole(folder: str, way: str) -> list[Whole]:
    images = (_image(path) for path in _dicom_files() if path.relative_to(SHARED_DATA).parts[0] == folder)
    return [_named(image, way, number) for number, image in enumerate(images) if image is not None]


def _stow(site: Site, files: Iterable[bytes]) -> httpx.Response:
    parts = b"".join(b"--every-file\r\nContent-Type: application/dicom\r\n\r\n" + data + b"\r\n" for data in files)
    kind = 'multipart/related; type="application/dicom"; boundary=every-file'
    headers = {"Content-Type": kind, "Accept": "application/dicom+json"}
    return site.http.post("/dicom-web/studies", content=parts + b"--every-file--\r\n", headers=headers)


def _parts(reply: httpx.Response) -> list[bytes]:
    assert reply.status_code == 200, reply.text
    boundary = re.search(r'boundary="?([^";]+)', reply.headers["content-type"])
    assert boundary is not None
    pieces = reply.content.split(b"--" + boundary[1].encode())[1:-1]
    return [piece.partition(b"\r\n\r\n")[2][:-2] for piece in pieces]


def _retrieved(site: Site, files: list[Whole]) -> Iterator[bytes]:
    accept = 'multipart/related; type="application/dicom"; transfer-syntax=*'
    for study in dict.fromkeys(file.study for file in files):
        yield from _parts(site.http.get(f"/dicom-web/studies/{study}", headers={"Accept": accept}))


def _sent(site: Site, folder: Path, files: Sequence[tuple[str, str, str, bytes]]) -> list[int | None]:
    """Send data sets of a SOP class, an instance and a transfer syntax by C-STORE; gives the statuses."""
    entity, paths = AE("EVERY-FILE"), []
    for sop_class, syntax in dict.fromkeys((file[0], file[2]) for file in files):
        entity.add_requested_context(sop_class, syntax)
    for number, (sop_class, instance, syntax, data_set) in enumerate(files):
        header = file_header(transfer_syntax_uid=syntax, sop_class_uid=sop_class, sop_instance_uid=instance)
        paths.append(folder / f"{number:03}.dcm")
        paths[-1].write_bytes(header + data_set)
    peer = entity.associate("127.0.0.1", site.mesh.settings.ports["dimse"], ae_title="PLEXUS")
    assert peer.is_established
    # Its own loop now and then takes the response before the sender does, who then waits for it in vain.
    take = peer.dimse.get_msg
    peer.dimse.get_msg = lambda block=False: take(block) if block else (None, None)  # type: ignore[method-assign]
    try:
        return [_status(peer, path) for path in paths]
    finally:
        peer.release()


def _status(peer: Association, path: Path) -> int | None:
    try:
        return int(peer.send_c_store(path).Status)
    except ValueError:  # pynetdicom's word for: no accepted presentation context
        return None


@pytest.fixture(autouse=True)
def as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have pynetdicom send the bytes of a file, without decoding them."""
    monkeypatch.setattr(_config, "STORE_SEND_CHUNKED_DATASET", True)


@pytest.mark.parametrize("folder", FOLDERS)
def test_what_is_stored_by_stow_comes_back_byte_by_byte_and_pixel_by_pixel(site: Site, folder: str) -> None:
    files = _whole(folder, "stow")
    reply = _stow(site, (file.data for file in files))
    assert reply.status_code == 200, reply.text
    assert len(reply.json()["00081199"]["Value"]) == len(files)
    assert sorted(_retrieved(site, files)) == sorted(file.data for file in files)

    assert [file.image.path.name for file in files if file.image.count and not _frames_are_right(site, file)] == []


def _frames_are_right(site: Site, file: Whole) -> bool:
    numbers = ",".join(map(str, range(1, file.image.count + 1)))
    accept = f'multipart/related; type="application/octet-stream"; transfer-syntax={EXPLICIT_LITTLE_ENDIAN}'
    reply = site.http.get(f"{file.url}/frames/{numbers}", headers={"Accept": accept})
    if file.image.path.name in BROKEN:
        return reply.status_code == 406
    return _parts(reply) == list(_reference(file.image))


def _reference(image: Image) -> Iterator[bytes]:
    """Its frames as pydicom or GDCM decode them, laid out as the data set says."""
    if image.path.name in NATIVE:
        yield from image.frames()
        return
    if image.path.name in SAME_FRAMES:
        path = SHARED_DATA / SAME_FRAMES[image.path.name]
        image = read(path.read_bytes(), path)
    described = image.description
    colours = described.photometric
    if described.samples > 1:  # a codestream may say better than its data set in which colours it is
        colours = decode(next(image.frames()), image.syntax, described).photometric
    for array in wanted(image):
        yield native(conformed(Decoded(np.asarray(array), colours), described), described)


@pytest.mark.parametrize("folder", FOLDERS)
def test_what_is_sent_by_c_store_comes_back_data_set_by_data_set(site: Site, tmp_path: Path, folder: str) -> None:
    files = _whole(folder, "c-store")
    statuses = _sent(
        site,
        tmp_path,
        [(file.image.parsed.sop_class_uid, file.instance, file.image.syntax, file.data_set) for file in files],
    )
    assert set(statuses) == {0x0000}
    retrieved = [data[_meta_end(data) :] for data in _retrieved(site, files)]
    assert sorted(retrieved) == sorted(file.data_set for file in files)


def test_what_cannot_be_stored_is_refused_as_stated(site: Site, tmp_path: Path) -> None:
    files = {name: (SHARED_DATA / name).read_bytes() for name in REFUSED}
    by_c_store = _sent(site, tmp_path, [_announced(name, data) for name, data in files.items()])
    outcomes = {
        name: (_failure(_stow(site, [data])), status)
        for (name, data), status in zip(files.items(), by_c_store, strict=True)
    }
    assert outcomes == REFUSED


def test_each_file_is_either_stored_or_stated_to_be_refused() -> None:
    refused = {str(path.relative_to(SHARED_DATA)) for path in _dicom_files() if _image(path) is None}
    assert refused == REFUSED.keys()


def _failure(reply: httpx.Response) -> int:
    """The Failure Reason of the one instance of a request."""
    assert reply.status_code == 409, reply.text
    told = reply.json()
    (failed,) = told.get("00081198", told.get("0008119A"))["Value"]  # with its UIDs, or without where it has none
    reason: int = failed["00081197"]["Value"][0]
    return reason


def _announced(name: str, data: bytes) -> tuple[str, str, str, bytes]:
    """What a peer says of a data set, as far as that says it itself."""
    ds = dcmread(SHARED_DATA / name, force=True, stop_before_pixels=True)
    if data[128:132] == b"DICM":
        data = data[_meta_end(data) if "FileMetaInformationGroupLength" in ds.file_meta else _META_BEGINS :]
    return (
        ds.file_meta.get("MediaStorageSOPClassUID") or ds.get("SOPClassUID") or SecondaryCaptureImageStorage,
        ds.file_meta.get("MediaStorageSOPInstanceUID") or ds.get("SOPInstanceUID") or uid_of(name),
        ds.file_meta.get("TransferSyntaxUID") or _SYNTAXES.get(name, EXPLICIT_LITTLE_ENDIAN),
        data,
    )
