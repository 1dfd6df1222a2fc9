"""Who studies are of, as the archive knows it, asked by gRPC in the name of the one who reads the log."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import grpc.aio

from services.audit.errors import InvalidQueryError
from services.chassis import rpc
from services.chassis.principal import Principal
from services.contracts import calls

_PATIENT_ID: Final = "00100020"
_STUDY: Final = "0020000D"
_STUDIES_AT_ONCE: Final = 100
_SECONDS: Final = 30


class ArchivePatients:
    """`Patients` by gRPC. What was asked lately is remembered: a page of records is of few studies."""

    def __init__(self, channel: grpc.aio.Channel, *, most: int = 10_000) -> None:
        self._stub = calls.ArchiveStub(channel)  # type: ignore[no-untyped-call]  # generated
        self._most = most
        self._known: dict[str, str] = {}

    async def studies_of(self, patient_id: str, principal: Principal) -> Sequence[str]:
        """See `Patients.studies_of`."""
        found = await self._find("PatientID", _literal(patient_id), principal)
        return sorted({_value(each, _STUDY) for each in found if _value(each, _PATIENT_ID) == patient_id} - {""})

    async def patients_of(self, studies: Sequence[str], principal: Principal) -> Mapping[str, str]:
        """See `Patients.patients_of`."""
        unknown = [study for study in studies if study not in self._known]
        for start in range(0, len(unknown), _STUDIES_AT_ONCE):
            wanted = "\\".join(unknown[start : start + _STUDIES_AT_ONCE])
            for each in await self._find("StudyInstanceUID", wanted, principal):
                if len(self._known) >= self._most:
                    self._known.clear()
                self._known[_value(each, _STUDY)] = _value(each, _PATIENT_ID)
        return {study: self._known[study] for study in studies if self._known.get(study)}

    async def _find(self, name: str, value: str, principal: Principal) -> list[dict[str, Any]]:
        request = calls.FindRequest(
            level=calls.LEVEL_STUDY, keys=[calls.Key(name=name, value=value)], include=[_PATIENT_ID, _STUDY]
        )
        try:
            with rpc.call("plexus.archive.v1.Archive/Find", principal) as metadata:
                found, more = [], False
                async for reply in self._stub.Find(request, metadata=metadata, timeout=_SECONDS):
                    found += [json.loads(match) for match in reply.matches]
                    more = more or reply.more
        except grpc.aio.AioRpcError as error:
            raise rpc.fault_of(error) from None
        if more:  # an answer that leaves something out would be none
            raise InvalidQueryError("the archive has more studies of this patient than it tells at once: ask by study")
        return found


def _literal(text: str) -> str:
    """`text` without what matching takes for wildcards; what is found is compared as a whole."""
    return text.replace("*", "?")


def _value(attributes: dict[str, Any], tag: str) -> str:
    values = attributes.get(tag, {}).get("Value") or [""]
    return str(values[0])
