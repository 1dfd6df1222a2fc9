"""`plexus certificates`: an authority of the mesh's own, and a certificate for each service.

The authority's key is not written down: to add a service or to renew, make all of them again.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from services.chassis.identity import AUTHORITY, CERTIFICATE, KEY
from services.launcher.errors import LauncherError

_BACKDATED: Final = timedelta(minutes=5)
"""For clocks that are a little behind."""
_PEM: Final = serialization.Encoding.PEM


def make(folder: Path, services: Sequence[str], *, days: int, hosts: Sequence[str] = ()) -> None:
    """Writes `<folder>/<service>/{authority,certificate,key}.pem` for each service, keys readable by their owner alone.

    Args:
        days: how long they are valid.
        hosts: names under which services are reached, beside their own names, `localhost` and 127.0.0.1.

    Raises:
        LauncherError: there are some already.
    """
    if any((folder / service / KEY).exists() for service in services):
        raise LauncherError(f"there are certificates in {folder} already; name another folder, or move them away")
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = _signed("plexus", authority_key, "plexus", authority_key, days=days, names=())
    for service in services:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _signed(service, key, "plexus", authority_key, days=days, names=(service, "localhost", *hosts))
        place = folder / service
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        (place / AUTHORITY).write_bytes(authority.public_bytes(_PEM))
        (place / CERTIFICATE).write_bytes(certificate.public_bytes(_PEM))
        private = key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        with os.fdopen(os.open(place / KEY, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(private)


def _signed(
    subject: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    days: int,
    names: Sequence[str],
) -> x509.Certificate:
    """A certificate; without names, of an authority."""
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=not names, path_length=None if names else 0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if names:
        alternatives = [*map(x509.DNSName, names), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False).add_extension(
            x509.ExtendedKeyUsage(usages), critical=False
        )
    return builder.sign(issuer_key, hashes.SHA256())


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
