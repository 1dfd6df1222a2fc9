"""Who a service is to the others: a certificate of the mesh's own authority (mutual TLS between services).

Without one, services speak in the clear: on one machine, over loopback.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from services.chassis.faults import PermanentFault

AUTHORITY = "authority.pem"
CERTIFICATE = "certificate.pem"
KEY = "key.pem"


class IdentityUnreadable(PermanentFault):
    """The folder of the setting does not hold what it should."""

    def __init__(self, name: str) -> None:
        super().__init__("identity-unreadable", f"TLS_FOLDER: {name} cannot be read; ./plexus certificates makes it")


@dataclass(frozen=True, slots=True)
class Identity:
    """Certificates in PEM.

    Attributes:
        authority: of those whom we believe.
        certificate: ours; its common name is the service's name.
        folder: where they lie.
    """

    authority: bytes
    certificate: bytes
    key: bytes = field(repr=False)
    folder: Path | None = None

    @classmethod
    def read(cls, folder: Path) -> Identity:
        """The identity that lies in a folder.

        Raises:
            IdentityUnreadable: it does not.
        """
        parts = []
        for name in (AUTHORITY, CERTIFICATE, KEY):
            try:
                parts.append((folder / name).read_bytes())
            except OSError:
                raise IdentityUnreadable(name) from None
        authority, certificate, key = parts
        return cls(authority, certificate, key, folder)

    def of_server(self) -> grpc.ServerCredentials:
        """For those who answer: only peers with a certificate of the authority are heard."""
        return grpc.ssl_server_credentials(
            [(self.key, self.certificate)], root_certificates=self.authority, require_client_auth=True
        )

    def of_client(self) -> grpc.ChannelCredentials:
        """For those who ask."""
        return grpc.ssl_channel_credentials(self.authority, self.key, self.certificate)

    def context(self) -> ssl.SSLContext:
        """For those who ask by TLS of another kind than gRPC's.

        Raises:
            IdentityUnreadable: the files are not there any more.
        """
        context = ssl.create_default_context(cadata=self.authority.decode("ascii"))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            if self.folder is not None:
                context.load_cert_chain(self.folder / CERTIFICATE, self.folder / KEY)
        except (OSError, ssl.SSLError):
            raise IdentityUnreadable(KEY) from None
        return context
