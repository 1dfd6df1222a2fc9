"""`plexus export`: studies of the archive as files, as they are or de-identified by the profile of the airlock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Final

import httpx
from pydicom import dcmread
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

from services.dicom import multipart
from services.dicom.multipart import MultipartError, MultipartParser, PartBegin, PartData, PartEnd
from services.launcher.errors import EdgeError, LauncherError

_DICOM: Final = "application/dicom"
_STORED: Final = 'multipart/related; type="application/dicom"; transfer-syntax=*'
_BATCH_BYTES: Final = 64 * 1024 * 1024
"""So much goes through the airlock in one request."""


def run(console: Console, edge: str, studies: Sequence[str], folder: Path, *, deidentified: bool) -> int:
    """Writes the instances of some studies under `folder`; 0 when all that were there are written.

    Args:
        edge: address of the mesh.
        studies: Study Instance UIDs.
        folder: made if it is not there; a file that is there already is not written over.
        deidentified: they go through the airlock; what may not leave is left out and counted.

    Raises:
        LauncherError: a study is not there, or a file is in the way.
        EdgeError: the mesh does not answer.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written, refused = 0, Counter[str]()
    columns = ("[progress.description]{task.description}", BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with (
        httpx.Client(base_url=edge, timeout=300) as client,
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress,
    ):
        for number, study in enumerate(studies, start=1):
            task = progress.add_task(f"study {number} of {len(studies)}", total=_count(client, study))
            stored = _stored(client, study, deidentified=deidentified)
            for file in _through(client, stored, refused) if deidentified else stored:
                _write(file, folder)
                written += 1
                progress.advance(task)
    console.print(f"{written} instances in {folder}")
    for code, times in sorted(refused.items()):
        console.print(f"[yellow]{times} left out:[/] {code}", highlight=False)
    return 1 if refused else 0


def _count(client: httpx.Client, study: str) -> int:
    answer = _asked(client, "GET", f"/dicom-web/studies?StudyInstanceUID={study}")
    if answer.status_code == httpx.codes.NO_CONTENT:
        raise LauncherError(f"there is no study {study} here")
    found: int = answer.json()[0]["00201208"]["Value"][0]
    return found


def _stored(client: httpx.Client, study: str, *, deidentified: bool) -> Iterator[bytes]:
    """The instances of a study as they are stored, one after another; the archive's log says what they are for."""
    headers = {"Accept": _STORED, "Plexus-Export": "deidentified" if deidentified else "stored"}
    try:
        with client.stream("GET", f"/dicom-web/studies/{study}", headers=headers) as answer:
            _good(answer)
            yield from _parts(answer.iter_bytes(), answer.headers["Content-Type"])
    except httpx.TransportError:
        raise EdgeError(f"the edge at {client.base_url} does not answer; see ./plexus status") from None


def _through(client: httpx.Client, files: Iterator[bytes], refused: Counter[str]) -> Iterator[bytes]:
    """What becomes of instances in the airlock."""
    batch: list[bytes] = []
    size = 0
    for file in files:
        batch.append(file)
        size += len(file)
        if size >= _BATCH_BYTES:
            yield from _deidentified(client, batch, refused)
            batch, size = [], 0
    if batch:
        yield from _deidentified(client, batch, refused)


def _deidentified(client: httpx.Client, files: Sequence[bytes], refused: Counter[str]) -> Iterator[bytes]:
    boundary = multipart.new_boundary()
    body = b"".join(multipart.part_head(boundary, _DICOM) + file + multipart.PART_TAIL for file in files)
    headers = {"Content-Type": multipart.related(_DICOM, boundary)}
    answer = _asked(client, "POST", "/deidentify", content=body + multipart.closing(boundary), headers=headers)
    for told in filter(None, answer.headers.get("Plexus-Refused", "").split(", ")):
        code, _, times = told.partition("=")
        refused[code] += int(times)
    if answer.status_code != httpx.codes.CONFLICT:  # nothing of it may leave
        yield from _parts(iter([answer.content]), answer.headers["Content-Type"])


def _parts(chunks: Iterator[bytes], content_type: str) -> Iterator[bytes]:
    try:
        parser, part = MultipartParser(multipart.multipart_boundary(content_type, _DICOM)), bytearray()
        for chunk in chunks:
            for event in parser.feed(chunk):
                match event:
                    case PartBegin():
                        part = bytearray()
                    case PartData(data):
                        part += data
                    case PartEnd():
                        yield bytes(part)
        parser.close()
    except MultipartError:
        raise EdgeError("an answer of the mesh broke off") from None


def _write(file: bytes, folder: Path) -> None:
    ds = dcmread(BytesIO(file), stop_before_pixels=True)
    path = folder / str(ds.StudyInstanceUID) / str(ds.SeriesInstanceUID) / f"{ds.SOPInstanceUID}.dcm"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("xb") as out:
            out.write(file)
    except FileExistsError:
        if path.read_bytes() != file:
            raise LauncherError(f"{path} is there already, and is another one; name another folder") from None


def _asked(client: httpx.Client, method: str, path: str, **options: object) -> httpx.Response:
    try:
        return _good(client.request(method, path, **options))  # type: ignore[arg-type]  # of httpx
    except httpx.TransportError:
        raise EdgeError(f"the edge at {client.base_url} does not answer; see ./plexus status") from None


def _good(answer: httpx.Response) -> httpx.Response:
    if answer.is_success or answer.status_code == httpx.codes.CONFLICT:
        return answer
    if answer.status_code == httpx.codes.NOT_FOUND:
        raise LauncherError("there is no such study here")
    raise EdgeError(f"{answer.url.path.split('/')[1]} answered {answer.status_code}")
