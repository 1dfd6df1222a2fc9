"""Rows of the index by name, or the fault that says what is not there."""

from __future__ import annotations

from collections.abc import Sequence

from services.archive.errors import NoSuchInstance, NoSuchSeries, NoSuchStudy
from services.archive.model import Resource
from services.archive.ports import Index
from services.store.model import InstanceRow, SeriesRow


async def series_of(resource: Resource, *, index: Index) -> Sequence[SeriesRow]:
    if not resource.series_instance_uid:
        found = await index.study_series(resource.study_instance_uid)
        if not found:
            raise NoSuchStudy
        return found
    row = await index.series(resource.study_instance_uid, resource.series_instance_uid)
    if row is None:
        raise NoSuchSeries
    return [row]


async def instances_of(resource: Resource, *, index: Index) -> list[InstanceRow]:
    rows = await index.series_instances(*resource.series)
    if not rows:
        raise NoSuchSeries
    return rows


async def instance_of(resource: Resource, *, index: Index) -> InstanceRow:
    row = await index.instance(*resource.series, resource.sop_instance_uid)
    if row is None:
        raise NoSuchInstance
    return row
