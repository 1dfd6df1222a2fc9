"""TLS for DIMSE as PS3.15 B.12 has it: BCP 195 (RFC 8996, RFC 9325). No version before 1.2, no way to fall back."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

from services.chassis.faults import PermanentFault

_SUITES: Final = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:" \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"  # fmt: skip
"""Of TLS 1.2, those that RFC 9325 4.2 recommends: forward secrecy and authenticated encryption. (Those of TLS 1.3 are
all of that kind.) They are also all that PS3.15 B.10 asks for, and none that B.13 forbids."""


def server_context(certificate: Path, key: Path, client_ca: Path | None) -> ssl.SSLContext:
    """How connections of peers are secured.

    Args:
        certificate: our own, PEM, with the chain behind it.
        key: its private key, PEM.
        client_ca: the authorities of the certificates that peers have to show (mutual authentication); None: they
            show none.

    Raises:
        PermanentFault: a file is missing, or is not what it should be.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_SUITES)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    try:
        context.load_cert_chain(certificate, key)
        if client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(client_ca)
    except (OSError, ValueError):
        raise PermanentFault("tls-not-usable", "a certificate, key or CA file for DIMSE is not usable") from None
    return context
