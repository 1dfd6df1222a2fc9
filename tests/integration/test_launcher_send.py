"""`plexus send`: a real association with a receiver that takes, warns and refuses."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from pynetdicom import AE, evt
from pynetdicom.sop_class import CTImageStorage
from rich.console import Console

from services.launcher import scu
from services.launcher.commands import sending
from services.launcher.errors import LauncherError

JPEG_LS = "1.2.840.10008.1.2.4.80"


class Receiver:
    """Notes what arrives; answers with the statuses that it was given, one after the other, then with success."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.digests: list[str] = []
        self.address = ""
        self.breaks_at: int | None = None

    def take(self, event: Any) -> int:
        if len(self.digests) == self.breaks_at:
            event.assoc.dul.socket.socket.shutdown(socket.SHUT_RDWR)  # the cable is pulled
        self.digests.append(hashlib.sha256(event.request.DataSet.getvalue()).hexdigest())
        return self.statuses.pop(0) if self.statuses else 0x0000


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    ae = AE(ae_title="RECEIVER")
    ae.add_supported_context(CTImageStorage, JPEG_LS)
    ae.require_called_aet = True
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, receiver.take)])
    assert server is not None
    receiver.address = f"127.0.0.1:{server.socket.getsockname()[1]}"
    yield receiver
    server.shutdown()
    server.server_close()


@pytest.fixture
def console() -> Console:
    return Console(file=StringIO(), width=200)


def _text(console: Console) -> str:
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def test_files_arrive_byte_for_byte(receiver: Receiver, sample: Path, console: Console) -> None:
    paths = sorted(sample.glob("*.dcm"))[:3]
    assert sending.run(console, paths, receiver.address, "RECEIVER") == 0
    assert "3 of 3 stored" in _text(console)
    for path, digest in zip(paths, receiver.digests, strict=True):
        content = path.read_bytes()
        group_length = int.from_bytes(content[140:144], "little")
        assert hashlib.sha256(content[144 + group_length :]).hexdigest() == digest


def test_what_was_not_stored_is_listed_with_its_status_and_the_exit_code_is_1(
    receiver: Receiver, sample: Path, console: Console
) -> None:
    receiver.statuses = [0x0000, 0xA700, 0xB000]
    paths = sorted(sample.glob("*.dcm"))[:4]
    assert sending.run(console, paths, receiver.address, "RECEIVER") == 1
    text = _text(console)
    assert "3 of 4 stored" in text
    assert f"A700  {paths[1]}" in text
    assert str(paths[2]) not in text


def test_what_the_receiver_does_not_accept_is_told_and_the_rest_is_sent(
    receiver: Receiver, sample: Path, tmp_path: Path, console: Console
) -> None:
    known = sorted(sample.glob("*.dcm"))[0]
    other = tmp_path / "other.dcm"
    # the SOP class of the file meta information alone: CT becomes MR, which the receiver does not take
    other.write_bytes(known.read_bytes().replace(b"1.2.840.10008.5.1.4.1.1.2\0", b"1.2.840.10008.5.1.4.1.1.4\0", 1))
    assert sending.run(console, [other, known], receiver.address, "RECEIVER") == 1
    text = _text(console)
    assert "1 of 2 stored" in text
    assert "not accepted: MR Image Storage" in text


def test_a_receiver_that_rejects_us_is_an_error_that_names_it(
    receiver: Receiver, sample: Path, console: Console
) -> None:
    with pytest.raises(LauncherError, match=r"SOMEBODY at .* rejected"):
        sending.run(console, [sorted(sample.glob("*.dcm"))[0]], receiver.address, "SOMEBODY")


def test_nothing_to_send_is_an_error(tmp_path: Path, console: Console) -> None:
    with pytest.raises(LauncherError, match="no DICOM file"):
        sending.run(console, [tmp_path], "127.0.0.1:1", "ANY")


def test_a_receiver_that_goes_away_leaves_every_file_accounted_for(receiver: Receiver, sample: Path) -> None:
    receiver.breaks_at = 1
    files = scu.find(sorted(sample.glob("*.dcm"))[:3]).files
    host, port = receiver.address.split(":")
    sent = list(scu.send(files, host, int(port), called="RECEIVER"))
    assert [each.path for each in sent] == [file.path for file in files]
    assert [each.stored for each in sent] == [True, False, False]
    assert all(each.status is None and each.reason for each in sent[1:])
