"""N-EVENT-REPORT for storage commitment as SCP (PS3.4 J.3.3): on the association that asked, or on a new one."""

from __future__ import annotations

import asyncio
from functools import partial
from io import BytesIO
from typing import Final

from pynetdicom.dimse_primitives import N_EVENT_REPORT

from services.bridge.adapters.desk import Desk
from services.bridge.adapters.line import Caller, Line
from services.bridge.committing import PUSH_MODEL, PUSH_MODEL_INSTANCE, Report
from services.bridge.errors import AbandonedError, UnreachableError
from services.bridge.ports import Addresses
from services.dicom.transfer_syntaxes import EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN

_CONTEXTS: Final = ((PUSH_MODEL, (EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN)),)
_MESSAGE_ID: Final = 1


class DeskCallback:
    """`Callback` to an association that a peer has opened."""

    def __init__(self, desk: Desk, *, ae_title: str) -> None:
        self._desk = desk
        self._ae_title = ae_title

    async def report(self, report: Report) -> int | None:
        """See `Callback.report`."""
        return await self._desk.do(partial(_send, self._desk.line, report, self._ae_title))


class AssociationReporting:
    """`Reporting` by associations that we open."""

    def __init__(self, caller: Caller, addresses: Addresses, *, ae_title: str) -> None:
        self._caller = caller
        self._addresses = addresses
        self._ae_title = ae_title

    async def report(self, ae_title: str, known_as: str, report: Report) -> int | None:
        """See `Reporting.report`."""
        return await asyncio.to_thread(self._report, ae_title, known_as, report)

    def _report(self, ae_title: str, known_as: str, report: Report) -> int | None:
        address = self._addresses.of(ae_title)
        if address is None:
            raise UnreachableError("peer-unknown")
        with self._caller.call(ae_title, address, _CONTEXTS, calling=known_as, as_scp=True) as line:
            return _send(line, report, self._ae_title)


def _send(line: Line, report: Report, ae_title: str) -> int | None:
    context = next((each for each in line.assoc.accepted_contexts if each.abstract_syntax == PUSH_MODEL), None)
    if context is None or context.context_id is None or line.gone:
        raise AbandonedError
    request = N_EVENT_REPORT()
    request.MessageID = _MESSAGE_ID
    request.AffectedSOPClassUID = PUSH_MODEL
    request.AffectedSOPInstanceUID = PUSH_MODEL_INSTANCE
    request.EventTypeID = report.event
    request.EventInformation = BytesIO(report.information(ae_title, str(context.transfer_syntax[0])))
    line.assoc.dimse.send_msg(request, context.context_id)
    status = line.reply(N_EVENT_REPORT, _MESSAGE_ID).Status
    return None if status is None else int(status)
