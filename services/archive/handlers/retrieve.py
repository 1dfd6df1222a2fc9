"""Instances and parts of them (PS3.18 10.4)."""

from __future__ import annotations

from services.archive.handlers.finding import instance_of, series_of
from services.archive.handlers.recording import recorded
from services.archive.model import Located, Resource
from services.archive.ports import Events, Index
from services.chassis.principal import Principal
from services.contracts.events import Action
from services.dicom.layout import Layout
from services.store.model import InstanceRow


async def retrieve(resource: Resource, *, index: Index, events: Events, caller: Principal) -> list[InstanceRow]:
    """Find the instances of a study, a series, or the one that is named, to be sent whole (PS3.18 10.4.1.1.1).

    Raises:
        NotFound: there is no such thing.
    """
    async with recorded(Action.RETRIEVE, resource, "instances", events=events, caller=caller) as tally:
        rows: list[InstanceRow] = []
        if resource.sop_instance_uid:
            rows.append(await instance_of(resource, index=index))
        else:
            for series in await series_of(resource, index=index):
                rows += await index.series_instances(series.study_instance_uid, series.series_instance_uid)
        tally.instances = len(rows)
    return rows


async def locate(resource: Resource, detail: str, *, index: Index, events: Events, caller: Principal) -> Located:
    """Find where an instance lies, to send a part of it: `detail` says which, for the audit record.

    Raises:
        NoSuchInstance: there is no such instance.
    """
    async with recorded(Action.RETRIEVE, resource, detail, events=events, caller=caller) as tally:
        row = await instance_of(resource, index=index)
        tally.instances = 1
    return Located(
        resource=resource,
        sop_class_uid=row.sop_class_uid,
        transfer_syntax_uid=row.transfer_syntax_uid,
        digest=row.digest,
        size=row.size,
        layout=Layout.decode(row.layout),
        metadata=row.metadata,
    )
