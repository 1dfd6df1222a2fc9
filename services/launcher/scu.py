"""Sending files by C-STORE (PS3.4 Annex B): the files go as they are, in their own transfer syntax."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID, MediaStorageDirectoryStorage
from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.events import Event
from pynetdicom.status import code_to_category

from services.launcher.errors import LauncherError

AE_TITLE = "PLEXUS-SEND"
_MOST_CONTEXTS = 128  # PS3.8 9.3.2.2: odd ids from 1 to 255


@dataclass(frozen=True, slots=True)
class File:
    """A DICOM file and what it takes to offer it."""

    path: Path
    sop_class_uid: str
    transfer_syntax_uid: str
    study_instance_uid: str
    series_instance_uid: str

    @property
    def context(self) -> tuple[str, str]:
        """Its presentation context: abstract and transfer syntax."""
        return self.sop_class_uid, self.transfer_syntax_uid


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one file; `status` is None where none came back (PS3.7 Annex C for the codes)."""

    path: Path
    status: int | None
    reason: str

    @property
    def stored(self) -> bool:
        """Whether the receiver has it: success, or a warning that says so."""
        return self.status is not None and code_to_category(self.status) in ("Success", "Warning")


@dataclass(frozen=True, slots=True)
class Found:
    """What lies under some paths: files to send, and files that were named but are not DICOM."""

    files: tuple[File, ...]
    refused: tuple[Sent, ...]


def find(paths: Iterable[Path]) -> Found:
    """Looks at files, and into folders. In a folder what is not DICOM is passed over; a file named outright is refused.

    Raises:
        LauncherError: a path does not exist.
    """
    files: list[File] = []
    refused: list[Sent] = []
    for path in paths:
        if not path.exists():
            raise LauncherError(f"{path} does not exist")
        if path.is_dir():
            inside = (each for each in sorted(path.rglob("*")) if each.is_file())
            files += (file for each in inside if (file := _look(each)) is not None)
        elif (file := _look(path)) is not None:
            files.append(file)
        else:
            refused.append(Sent(path, None, "not a DICOM file that can be sent"))
    return Found(tuple(files), tuple(refused))


def plan(files: Iterable[File]) -> list[list[File]]:
    """Files grouped into associations, each with no more presentation contexts than one can have."""
    by_context: dict[tuple[str, str], list[File]] = {}
    for file in files:
        by_context.setdefault(file.context, []).append(file)
    contexts = list(by_context)
    return [
        [file for context in contexts[start : start + _MOST_CONTEXTS] for file in by_context[context]]
        for start in range(0, len(contexts), _MOST_CONTEXTS)
    ]


def send(files: Iterable[File], host: str, port: int, *, called: str = "PLEXUS") -> Iterator[Sent]:
    """Sends files and yields what became of each, as it happens.

    Raises:
        LauncherError: no association could be made.
    """
    # pynetdicom has this only as a module-wide switch: the bytes of the file are sent, and never decoded
    _config.STORE_SEND_CHUNKED_DATASET = True
    for batch in plan(files):
        gone = threading.Event()
        association = _associate(batch, host, port, called, gone)
        try:
            for number, file in enumerate(batch):
                if gone.is_set() or not association.is_established:
                    yield Sent(file.path, None, "the association was aborted")
                else:
                    yield _store(association, file, 1 + number % 65535)
        finally:
            if association.is_established:
                association.release()


def _associate(batch: list[File], host: str, port: int, called: str, gone: threading.Event) -> Association:
    ae = AE(ae_title=AE_TITLE)
    for sop_class, transfer_syntax in dict.fromkeys(file.context for file in batch):
        ae.add_requested_context(sop_class, transfer_syntax)
    ae.dimse_timeout = 120
    nobody = f"nothing answers DIMSE as {called} at {host}:{port}; is the mesh up? (./plexus status)"
    try:
        socket.create_connection((host, port), timeout=10).close()  # first: pynetdicom does not say why it failed
    except OSError:
        raise LauncherError(nobody) from None
    handlers: list[evt.EventHandlerType] = [(evt.EVT_CONN_CLOSE, _wake, [gone])]
    association = ae.associate(host, port, ae_title=called, evt_handlers=handlers)
    if association.is_established:
        # Its own loop must not take the answers: only who waits for one asks with `block`.
        take = association.dimse.get_msg
        association.dimse.get_msg = (  # type: ignore[method-assign]
            lambda block=False: take(block) if block else (None, None)
        )
        return association
    if association.is_rejected:
        raise LauncherError(f"{called} at {host}:{port} rejected the association")
    raise LauncherError(nobody)


def _wake(event: Event, gone: threading.Event) -> None:
    """Ends the wait for an answer that cannot come any more; pynetdicom would wait until its timeout."""
    gone.set()  # first: whoever comes now must not begin to wait
    event.assoc.dimse.msg_queue.put((None, None))


def _store(association: Association, file: File, message_id: int) -> Sent:
    try:
        status = association.send_c_store(file.path, msg_id=message_id)
    except ValueError:  # pynetdicom's word for: no accepted presentation context
        return Sent(file.path, None, f"not accepted: {UID(file.sop_class_uid).name}")
    except (RuntimeError, AttributeError, OSError) as error:
        return Sent(file.path, None, f"could not be sent ({type(error).__name__})")
    if "Status" not in status:
        return Sent(file.path, None, "no answer")
    code = int(status.Status)
    comment = str(status.get("ErrorComment", ""))
    return Sent(file.path, code, comment or code_to_category(code))


def _look(path: Path) -> File | None:
    wanted = ["SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID"]
    with suppress(InvalidDicomError, OSError, AttributeError, ValueError, TypeError):
        ds = dcmread(path, stop_before_pixels=True, specific_tags=wanted)
        if ds.file_meta.MediaStorageSOPClassUID == MediaStorageDirectoryStorage:
            return None
        return File(
            path,
            str(ds.file_meta.MediaStorageSOPClassUID),
            str(ds.file_meta.TransferSyntaxUID),
            str(ds.get("StudyInstanceUID", "")),
            str(ds.get("SeriesInstanceUID", "")),
        )
    return None
