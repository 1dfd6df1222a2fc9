"""Records as FHIR AuditEvents to an audit record repository (IHE ITI-20): a batch, answered entry by entry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import httpx

from services.audit.errors import ReceiverError
from services.audit.forms import fhir
from services.audit.model import Entry


class FhirReceiver:
    """`Receiver` by FHIR."""

    name = "fhir"

    def __init__(self, client: httpx.AsyncClient, url: str) -> None:
        self._client = client
        self._url = url

    async def send(self, entries: Sequence[Entry], patients: Mapping[str, str]) -> None:
        """See `Receiver.send`: every entry of the answer has to say that it was taken."""
        bundle = fhir.bundle(entries, patients, kind="batch")
        if not bundle.get("entry"):
            return
        try:
            reply = await self._client.post(self._url, json=bundle, headers={"Content-Type": fhir.MEDIA_TYPE})
            answered = reply.raise_for_status().json().get("entry", [])
            taken = [str(each["response"]["status"]).startswith("2") for each in answered]
        except httpx.HTTPStatusError as error:
            raise ReceiverError(f"the FHIR repository answered {error.response.status_code}") from error
        except (httpx.HTTPError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise ReceiverError(f"the FHIR repository did not take records ({type(error).__name__})") from error
        if len(taken) != len(bundle["entry"]) or not all(taken):
            raise ReceiverError("the FHIR repository did not take every record")
