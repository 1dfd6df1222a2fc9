"""How many instances a second one core de-identifies, and what memory that takes.

    python -m load_tests.deidentify [PROFILE.yaml]

The instances are 512 x 512 CT slices of 16 bit, uncompressed, as files that are mapped. Times are of a processor, so
that a busy machine counts little.
"""

from __future__ import annotations

import hashlib
import mmap
import resource
import struct
import sys
import tempfile
import time
from pathlib import Path

from services.anonymise.engine.deidentifying import Policy, deidentify
from services.anonymise.engine.profile import basic_profile
from services.anonymise.engine.profile_file import read_profile
from services.anonymise.engine.pseudonyms import Pseudonyms
from services.anonymise.engine.report import Report

_SLICES, _ROUNDS = 200, 5
_SIZE = 512


def main() -> None:
    """Print a table."""
    profile = read_profile(Path(sys.argv[1])) if len(sys.argv) > 1 else basic_profile()
    policy = Policy(Pseudonyms(bytes(32)), profile)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.dcm" for number in range(_SLICES)]
        for number, path in enumerate(paths):
            path.write_bytes(_slice(number))
        attributes = len(_deidentified(paths[0], policy, writes=False).splitlines())
        print(f"profile {profile.label}: {_SLICES} slices of {paths[0].stat().st_size} bytes, {attributes} attributes")
        for writes in (False, True):
            before = _peak_kib()
            began = time.process_time()
            for _ in range(_ROUNDS):
                for path in paths:
                    _deidentified(path, policy, writes=writes)
            seconds = time.process_time() - began
            name = "written, with digest" if writes else "headers"
            print(f"{name:22} {_SLICES * _ROUNDS / seconds:7.0f} a second, {_peak_kib() - before} KiB more at the peak")


def _deidentified(path: Path, policy: Policy, *, writes: bool) -> str:
    with path.open("rb") as file:
        done = deidentify(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), policy)
    if writes:
        digest = hashlib.sha256()
        with path.with_suffix(".out").open("wb") as out:
            for part in done.parts:
                digest.update(part)
                out.write(part)
    return Report.of(done.actions).text


def _peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _slice(number: int) -> bytes:
    """A CT slice, its elements in order of their tags."""
    texts = {
        0x00080008: ("CS", "ORIGINAL\\PRIMARY\\AXIAL"),
        0x00080016: ("UI", "1.2.840.10008.5.1.4.1.1.2"),
        0x00080018: ("UI", f"1.3.6.1.4.1.9.3.{number}"),
        0x00080020: ("DA", "20200301"),
        0x00080030: ("TM", "101112"),
        0x00080050: ("SH", "ACC-4711"),
        0x00080060: ("CS", "CT"),
        0x00080070: ("LO", "ACME"),
        0x00081030: ("LO", "CT Chest"),
        0x0008103E: ("LO", "Lung 1.0"),
        0x00100010: ("PN", "Doe^Jane"),
        0x00100020: ("LO", "MRN-4711-0815"),
        0x00100030: ("DA", "19470815"),
        0x00101010: ("AS", "072Y"),
        **{0x00180050 + 2 * place: ("DS", "1.25") for place in range(20)},
        **{0x00190010: ("LO", "ACME PRIVATE"), **{0x00191000 + place: ("LO", f"{place}") for place in range(40)}},
        0x0020000D: ("UI", "1.3.6.1.4.1.9.1"),
        0x0020000E: ("UI", "1.3.6.1.4.1.9.2"),
        0x00200013: ("IS", str(number)),
        0x00200032: ("DS", f"-10.5\\20\\{number}"),
        0x00200037: ("DS", "1\\0\\0\\0\\1\\0"),
        0x00200052: ("UI", "1.3.6.1.4.1.9.4"),
        0x00280004: ("CS", "MONOCHROME2"),
    }
    values = {tag: (vr, text.encode()) for tag, (vr, text) in texts.items()}
    numbers = {0x00280002: 1, 0x00280010: _SIZE, 0x00280011: _SIZE, 0x00280100: 16, 0x00280101: 12, 0x00280103: 1}
    values.update({tag: ("US", struct.pack("<H", value)) for tag, value in numbers.items()})
    body = b"".join(_element(tag, *values[tag]) for tag in sorted(values))
    pixels = bytes(2 * _SIZE * _SIZE)
    meta = _element(0x00020010, "UI", b"1.2.840.10008.1.2.1")
    head = bytes(128) + b"DICM" + _element(0x00020000, "UL", struct.pack("<L", len(meta))) + meta
    return head + body + struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OW", 0, len(pixels)) + pixels


def _element(tag: int, vr: str, value: bytes) -> bytes:
    value += (b"\0" if vr == "UI" else b" ") * (len(value) % 2)
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr.encode(), len(value)) + value


if __name__ == "__main__":
    main()
