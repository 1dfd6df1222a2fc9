"""What is shown of a study, a series or an instance (PS3.18 10.4.1.1.3, 10.4.1.1.4)."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from services.archive.errors import NoSuchInstance
from services.archive.handlers.finding import instance_of, instances_of, series_of
from services.archive.handlers.recording import Accesses
from services.archive.model import Located, Resource
from services.archive.ports import Index, Places
from services.chassis.faults import Fault
from services.chassis.principal import Principal
from services.dicom import dicom_json
from services.dicom.transfer_syntaxes import lookup
from services.store.model import InstanceRow, SeriesRow

_DERIVED: Final = frozenset(
    (
        *("ANN", "ASMT", "AU", "DOC", "ECG", "EPS", "HD", "KO", "M3D", "PLAN", "PR", "REG", "RESP", "RTDOSE"),
        *("RTPLAN", "RTRECORD", "RTSTRUCT", "RWV", "SEG", "SMR", "SR", "TEXTUREMAP"),
    )
)
"""Modalities whose series say little of what the study looks like."""

_LARGE: Final = 256 * 1024
_SLIDE: Final = "1.2.840.10008.5.1.4.1.1.77.1.6"


@dataclass(frozen=True, slots=True)
class Representative:
    """What stands for a resource in a thumbnail.

    Attributes:
        modality: of it; "" where only the instance itself knows.
        located: the instance to show; None when there is no image.
    """

    modality: str
    located: Located | None


@asynccontextmanager
async def recorded(resource: Resource, detail: str, *, accesses: Accesses, caller: Principal) -> AsyncIterator[None]:
    """Record what is refused inside; what is given is noted by whoever has it in hand."""
    try:
        yield
    except Fault as fault:
        await accesses.refuse(resource, detail, fault, caller=caller)
        raise


async def images(resource: Resource, *, index: Index) -> tuple[list[InstanceRow], list[InstanceRow]]:
    """Find the instances of a study or series, to be shown as images one after another.

    Returns:
        Those that are images, and the others.

    Raises:
        NotFound: there is no such thing.
    """
    rows: list[InstanceRow] = []
    for series in await series_of(resource, index=index):
        rows += await index.series_instances(series.study_instance_uid, series.series_instance_uid)
    return [row for row in rows if _is_image(row)], [row for row in rows if not _is_image(row)]


async def representative(resource: Resource, *, index: Index, places: Places) -> Representative:
    """Find what stands for a study, a series, or the one instance.

    Of a study, its largest series of images; of a series, its middle instance, or of a slide, its smallest level.

    Raises:
        NotFound: there is no such thing.
    """
    if resource.sop_instance_uid:
        return Representative("", await locate(resource, places=places))
    return await _of_series(await series_of(resource, index=index), index=index, places=places)


async def locate(resource: Resource, *, places: Places) -> Located:
    """Find where an instance lies.

    Raises:
        NoSuchInstance: there is no such instance.
    """
    located = await places.place(resource)
    if located is None:
        raise NoSuchInstance
    return located


class Attributes:
    """The data sets of instances as DICOM JSON, remembered by digest: what they say never changes."""

    def __init__(self, *, index: Index, max_bytes: int = 4 * 1024**2) -> None:
        """Read from `index`; of what was read last, data sets of `max_bytes` as text are kept."""
        self._index = index
        self._max_bytes = max_bytes
        self._bytes = 0
        self._recent: OrderedDict[str, tuple[int, dict[str, Any]]] = OrderedDict()

    async def of(self, located: Located) -> dict[str, Any]:
        """The data set of an instance.

        Raises:
            NoSuchInstance: it is gone by now.
        """
        known = self._recent.get(located.digest)
        if known is not None:
            self._recent.move_to_end(located.digest)
            return known[1]
        text = (await instance_of(located.resource, index=self._index)).metadata
        # Large ones, of a thousand frames, are read in a thread, so that others do not wait for it.
        read: dict[str, Any] = (
            await asyncio.to_thread(dicom_json.loads, text) if len(text) > _LARGE else dicom_json.loads(text)
        )
        if located.digest not in self._recent:
            self._recent[located.digest] = (len(text), read)
            self._bytes += len(text)
        while self._bytes > self._max_bytes and len(self._recent) > 1:
            _, (size, _) = self._recent.popitem(last=False)
            self._bytes -= size
        return read


async def _of_series(found: Sequence[SeriesRow], *, index: Index, places: Places) -> Representative:
    likely = sorted(found, key=lambda row: (row.modality in _DERIVED, -row.instances))
    for series in likely:
        resource = Resource(series.study_instance_uid, series.series_instance_uid)
        rows = [row for row in await instances_of(resource, index=index) if _is_image(row)]
        if rows:
            chosen = Resource(*resource.series, _middle(rows).sop_instance_uid)
            return Representative(series.modality, await locate(chosen, places=places))
    return Representative(likely[0].modality, None)


def _middle(rows: Sequence[InstanceRow]) -> InstanceRow:
    levels = [row for row in rows if row.sop_class_uid == _SLIDE]
    if levels:
        return min(levels, key=lambda row: (row.rows or 0) * (row.columns or 0) * (row.number_of_frames or 1))
    return rows[len(rows) // 2]


def _is_image(row: InstanceRow) -> bool:
    syntax = lookup(row.transfer_syntax_uid)
    return bool(row.rows and row.columns) and syntax is not None and not syntax.video
