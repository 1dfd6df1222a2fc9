"""STOW-RS as user agent (PS3.18 10.5): a request for each result, its file streamed as it is stored.

Its length is known, and said: many services and the proxies before them take no chunked bodies. Nothing of the
environment (proxies, .netrc) is used, and no redirect followed, so that a result goes where the rule says or nowhere.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from services.bridge.destinations import Root
from services.bridge.errors import UnheldError, UnreachableError
from services.bridge.exchanging import Place, Recipient
from services.bridge.outlets import Parcel
from services.bridge.stowed import Reply, judged, wait_seconds
from services.dicom import multipart

_DICOM: Final = "application/dicom"
_CONNECT_SECONDS: Final = 10.0
_MOST_ANSWER_BYTES: Final = 1024 * 1024
_SLOWEST_BYTES_A_SECOND: Final = 32 * 1024


@dataclass(frozen=True, slots=True)
class Keys:
    """What opens DICOMweb services. Files, so that none is in a rule; read each time, so that they may be renewed.

    Attributes:
        ca_file: who signs the services' certificates (PEM); None for the authorities that the system trusts.
        certificate: ours, and its key (PEM), for services that want to know who asks.
        tokens: a folder with a file for each host that wants a bearer token.
    """

    ca_file: Path | None = None
    certificate: tuple[Path, Path] | None = None
    tokens: Path | None = None

    def context(self) -> ssl.SSLContext:
        """How connections are secured: BCP 195, the service's name checked.

        Raises:
            UnreachableError: a file is missing, or is not what it should be.
        """
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if self.certificate is not None:
                context.load_cert_chain(*self.certificate)
        except (OSError, ValueError):
            raise UnreachableError(
                "tls-not-usable", "a certificate, key or CA file for STOW-RS is not usable"
            ) from None
        return context

    def headers_for(self, root: Root) -> dict[str, str]:
        """The token for a service, where there is one. None goes out in the clear.

        Raises:
            UnreachableError: it cannot be read.
        """
        if self.tokens is None or not root.secure:
            return {}
        try:
            token = (self.tokens / root.host).read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return {}
        except (OSError, ValueError):
            raise UnreachableError("token-not-usable", "the file with the token of a service cannot be read") from None
        if not token.isprintable():
            raise UnreachableError("token-not-usable", "the file with the token of a service holds more than a token")
        return {"Authorization": f"Bearer {token}"} if token else {}


class StowOutlet:
    """`Outlet` by STOW-RS. A service that says how long it wants to be left alone is, an hour at the most."""

    def __init__(self, root: Root, keys: Keys, *, patience: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Results for `root`.

        Args:
            root: the service.
            keys: what opens it.
            patience: seconds that it may be silent.
            clock: for tests.
        """
        self._root = root
        self._keys = keys
        self._patience = patience
        self._clock = clock
        self._not_before = 0.0

    def recipient(self) -> Recipient:
        """See `Outlet.recipient`."""
        return Recipient(self._root.name, self._root.host)

    @asynccontextmanager
    async def open(self, places: Sequence[Place]) -> AsyncIterator[StowCounter]:
        """See `Outlet.open`: one connection, which a request opens."""
        if self._clock() < self._not_before:
            raise UnreachableError("peer-asked-to-wait", "the service has said when it wants to be asked again")
        headers = {"Accept": "application/dicom+json", "Accept-Encoding": "identity", "User-Agent": "Plexus"}
        async with httpx.AsyncClient(
            headers={**headers, **self._keys.headers_for(self._root)},
            verify=self._keys.context() if self._root.secure else True,
            timeout=httpx.Timeout(self._patience, connect=min(_CONNECT_SECONDS, self._patience)),
            follow_redirects=False,
            trust_env=False,
        ) as http:
            yield StowCounter(http, self._root, self._patience, self._wait)

    def _wait(self, seconds: float) -> None:
        self._not_before = self._clock() + seconds


class StowCounter:
    """`Counter` over a connection to a service."""

    def __init__(self, http: httpx.AsyncClient, root: Root, patience: float, wait: Callable[[float], None]) -> None:
        self._http = http
        self._url = f"{root.name}/studies"
        self._patience = patience
        self._wait = wait

    async def hand_in(self, parcel: Parcel) -> int:
        """See `Counter.hand_in`."""
        boundary = multipart.new_boundary()
        head, tail = multipart.part_head(boundary, _DICOM), multipart.PART_TAIL + multipart.closing(boundary)
        headers = {
            "Content-Type": multipart.related(_DICOM, boundary),
            "Content-Length": str(len(head) + parcel.place.size + len(tail)),
        }
        try:
            # As a whole, too: whoever gives a byte now and then is too slow all the same.
            async with (
                asyncio.timeout(self._patience * 2 + parcel.place.size / _SLOWEST_BYTES_A_SECOND),
                aclosing(_body(head, parcel, tail)) as body,
                self._http.stream("POST", self._url, content=body, headers=headers) as response,
            ):
                if response.status_code in (429, 503):
                    self._wait(wait_seconds(response.headers.get("Retry-After")))
                reply = Reply(response.status_code, response.headers.get("Content-Type", ""), await _payload(response))
        except (httpx.TransportError, ssl.SSLError, TimeoutError) as error:
            raise _unreachable(error) from None
        return judged(reply)


async def _body(head: bytes, parcel: Parcel, tail: bytes) -> AsyncGenerator[bytes]:
    yield head
    async with aclosing(parcel.file()) as chunks:
        async for chunk in chunks:
            yield chunk
    yield tail


async def _payload(response: httpx.Response) -> bytes:
    """The payload as it came: a packed one, which nobody asked for, is read by nobody."""
    data = bytearray()
    async for piece in response.aiter_raw():
        data += piece
        if len(data) > _MOST_ANSWER_BYTES:
            raise UnheldError("peer-unclear", "what answers at this URL is no DICOMweb store")
    return bytes(data)


def _unreachable(error: BaseException) -> UnreachableError:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return UnreachableError("peer-not-trusted", "the certificate of the service is not one that we trust")
        if isinstance(cause, ssl.SSLError):
            return UnreachableError("peer-tls-failed", "no secure connection with the service: it may want ours")
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return UnreachableError("peer-unreachable")
    return UnreachableError("peer-left", "the service broke off, or was too slow")
