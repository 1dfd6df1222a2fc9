"""C-STORE as SCU: the bytes of data sets as they come, over an association that is open (PS3.4 B, PS3.7 9.1.1)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from io import BytesIO
from typing import Final

from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu_primitives import P_DATA

from services.bridge.adapters.line import Caller, Lend, Line
from services.bridge.destinations import Entity
from services.bridge.errors import AbandonedError, UnreachableError
from services.bridge.exchanging import Address, Place, Recipient, chosen, proposals
from services.bridge.model import NO_SUCH_SOP_CLASS
from services.bridge.outlets import Parcel
from services.bridge.ports import Addresses, Exchange

_MEDIUM: Final = 0
_LONGEST_PDU: Final = 128 * 1024
"""For peers that take more, or set no limit."""
_PDV_HEADER: Final = 6


class AssociationSink:
    """`Sink` over an association."""

    def __init__(
        self, line: Line, lend: Lend, *, first_message_id: int, originator: tuple[str, int] | None = None
    ) -> None:
        self._line = line
        self._lend = lend
        self._message_id = first_message_id
        self._originator = originator
        self._contexts: dict[str, dict[str, int]] = {}
        for context in line.assoc.accepted_contexts:
            if context.as_scu and context.context_id is not None:
                syntaxes = self._contexts.setdefault(str(context.abstract_syntax), {})
                syntaxes.setdefault(str(context.transfer_syntax[0]), context.context_id)
        line.hasten()
        announced = line.assoc.dimse.maximum_pdu_size
        self._pdu_bytes = min(announced, _LONGEST_PDU) if announced else _LONGEST_PDU

    @property
    def over(self) -> bool:
        """Whether the association is, so that nothing is accepted any more."""
        return self._line.gone

    def accepted(self, sop_class_uid: str) -> Sequence[str]:
        """See `Sink.accepted`; none once the association is over."""
        return () if self._line.gone else tuple(self._contexts.get(sop_class_uid, ()))

    async def store(self, place: Place, transfer_syntax_uid: str, chunks: AsyncIterator[bytes]) -> int | None:
        """See `Sink.store`. One chunk is held back, because the last one is marked (PS3.8 E.2)."""
        context_id = self._contexts[place.sop_class_uid][transfer_syntax_uid]
        held = await anext(chunks, b"")  # what cannot be read at all must not cost the association
        begun = False
        try:
            message_id = await self._lend(partial(self._begin, place, context_id))
            begun = True
            async for chunk in chunks:
                await self._lend(partial(self._data, context_id, held, last=False))
                held = chunk
            await self._lend(partial(self._data, context_id, held, last=True))
            begun = False
            status: int | None = await self._lend(partial(self._status, message_id))
        except AbandonedError:
            return None
        finally:
            if begun and not self._line.gone:
                # The peer waits for the rest of a data set that will not come.
                await self._lend(self._line.assoc.abort)
        return status

    def _begin(self, place: Place, context_id: int) -> int:
        primitive = C_STORE()
        primitive.MessageID = self._message_id = self._message_id % 0xFFFF + 1
        primitive.AffectedSOPClassUID = place.sop_class_uid
        primitive.AffectedSOPInstanceUID = place.sop_instance_uid
        primitive.Priority = _MEDIUM
        if self._originator is not None:
            primitive.MoveOriginatorApplicationEntityTitle, primitive.MoveOriginatorMessageID = self._originator
        primitive.DataSet = BytesIO(b"\0\0")  # says that there will be one
        message = C_STORE_RQ()
        message.primitive_to_message(primitive)
        message.data_set = None
        for part in message.encode_msg(context_id, self._pdu_bytes):
            self._line.put(part)
        return self._message_id

    def _data(self, context_id: int, data: bytes, *, last: bool) -> None:
        for fragment, is_last in _fragments(data, self._pdu_bytes - _PDV_HEADER):
            part = P_DATA()
            control = b"\x02" if last and is_last else b"\x00"
            part.presentation_data_value_list.append((context_id, control + fragment))
            self._line.put(part)

    def _status(self, message_id: int) -> int | None:
        status = self._line.reply(C_STORE, message_id).Status
        return None if status is None else int(status)


def _fragments(data: bytes, size: int) -> Iterator[tuple[bytes, bool]]:
    for start in range(0, max(len(data), 1), size):
        yield data[start : start + size], start + size >= len(data)


class AssociationCounter:
    """`Counter` over an association."""

    def __init__(self, sink: AssociationSink) -> None:
        self._sink = sink

    async def hand_in(self, parcel: Parcel) -> int | None:
        """See `Counter.hand_in`: as stored where the peer takes that, else uncompressed."""
        if self._sink.over:
            return None
        syntax = chosen(parcel.place, self._sink.accepted(parcel.place.sop_class_uid))
        if syntax is None:
            return NO_SUCH_SOP_CLASS
        async with aclosing(parcel.data_set(syntax)) as chunks:
            return await self._sink.store(parcel.place, syntax, chunks)


class AssociationOutlet:
    """`Outlet` by associations that we open of our own accord."""

    def __init__(self, entity: Entity, caller: Caller, addresses: Addresses, *, ae_title: str) -> None:
        self._entity = entity
        self._caller = caller
        self._addresses = addresses
        self._ae_title = ae_title

    def recipient(self) -> Recipient | None:
        """See `Outlet.recipient`."""
        address = self._address()
        return Recipient(self._entity.name, address.host) if address else None

    @asynccontextmanager
    async def open(self, places: Sequence[Place]) -> AsyncIterator[AssociationCounter]:
        """See `Outlet.open`: one association for all of them."""
        address = self._address()
        if address is None:
            raise UnreachableError("peer-unknown")
        called = self._caller.call(self._entity.name, address, proposals(places), calling=self._ae_title)
        line = await asyncio.to_thread(called.__enter__)
        try:
            yield AssociationCounter(AssociationSink(line, asyncio.to_thread, first_message_id=0))
        except asyncio.CancelledError:  # a thread may wait for the peer, who may never answer
            await asyncio.to_thread(line.assoc.abort)
            raise
        finally:
            await asyncio.to_thread(called.__exit__, None, None, None)

    def _address(self) -> Address | None:
        return self._entity.address or self._addresses.of(self._entity.name)


class AssociationDestinations:
    """`Destinations` that are called when they are needed."""

    def __init__(self, caller: Caller, addresses: Addresses) -> None:
        self._caller = caller
        self._addresses = addresses

    def of(self, ae_title: str) -> Recipient | None:
        """See `Destinations.of`."""
        address = self._addresses.of(ae_title)
        return Recipient(ae_title, address.host) if address else None

    @asynccontextmanager
    async def open(
        self, ae_title: str, proposals: Sequence[tuple[str, tuple[str, ...]]], exchange: Exchange
    ) -> AsyncIterator[AssociationSink]:
        """See `Destinations.open`."""
        address = self._addresses.of(ae_title)
        if address is None:
            raise UnreachableError("peer-unknown")
        peer = exchange.request.peer
        called = self._caller.call(ae_title, address, proposals, calling=peer.called_ae_title)
        line = await exchange.lend(called.__enter__)
        try:
            originator = peer.calling_ae_title, exchange.request.message_id
            yield AssociationSink(line, exchange.lend, first_message_id=0, originator=originator)
        finally:
            await exchange.lend(partial(called.__exit__, None, None, None))
