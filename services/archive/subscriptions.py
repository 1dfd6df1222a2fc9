"""What the archive hears on the bus."""

from __future__ import annotations

from services.archive.errors import UnreadableFact
from services.archive.handlers import metadata as handlers
from services.archive.model import Resource
from services.archive.ports import Documents, Index
from services.chassis.hearing import Delivery, Subscription
from services.contracts import subjects
from services.contracts.events import InstancesDeleted, SeriesSettled, UnreadableEventError

_SERIES_AT_ONCE = 2


def subscriptions(*, index: Index, documents: Documents) -> list[Subscription]:
    """Durable consumers for settled series and for deleted instances."""

    async def on_settled(delivery: Delivery) -> None:
        try:
            settled = SeriesSettled.from_bytes(delivery.data)
        except UnreadableEventError:
            raise UnreadableFact from None
        resource = Resource(settled.study_instance_uid, settled.series_instance_uid)
        await handlers.prepare(resource, index=index, documents=documents)

    async def on_deleted(delivery: Delivery) -> None:
        try:
            deleted = InstancesDeleted.from_bytes(delivery.data)
        except UnreadableEventError:
            raise UnreadableFact from None
        await documents.forget(deleted.study_instance_uid, deleted.series_instance_uid)

    return [
        Subscription(
            subject=subjects.SERIES_SETTLED,
            consumer="archive-series-settled",
            stream=subjects.HOSPITAL.name,
            handle=on_settled,
            concurrency=_SERIES_AT_ONCE,
        ),
        Subscription(
            subject=subjects.INSTANCE_DELETED,
            consumer="archive-instance-deleted",
            stream=subjects.HOSPITAL.name,
            handle=on_deleted,
        ),
    ]
