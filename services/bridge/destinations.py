"""Where results are sent on to, by rule: application entities (C-STORE), and DICOMweb services (STOW-RS)."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from services.bridge.exchanging import Address, addresses
from services.contracts.card import ResultKind

_KINDS: Final = frozenset(kind.value for kind in ResultKind)
_SCHEMES: Final = ("https://", "http://")


@dataclass(frozen=True, slots=True)
class Entity:
    """An application entity.

    Attributes:
        name: its AE title.
        address: where it listens; None: the peers of the settings say so.
    """

    name: str
    address: Address | None = None


@dataclass(frozen=True, slots=True)
class Root:
    """The root of a DICOMweb service (PS3.18 8.2), such as `https://pacs.example/dicom-web`.

    Attributes:
        name: the URL, without a slash at its end.
    """

    name: str

    @property
    def secure(self) -> bool:
        """Whether it is reached by TLS."""
        return self.name.startswith("https:")

    @property
    def host(self) -> str:
        """Without the port."""
        return urlsplit(self.name).hostname or ""


Destination = Entity | Root


@dataclass(frozen=True, slots=True)
class Rule:
    """The kinds of results that go to a destination."""

    destination: Destination
    kinds: frozenset[str]


def rules(text: str, *, plain_hosts: Collection[str] = ()) -> tuple[Rule, ...]:
    """Read `PACS=SEG SR PDF, VNA@10.1.2.3:104=SEG, https://pacs.example/dicom-web=*`.

    Args:
        text: destinations, each with the kinds of results that it gets.
        plain_hosts: hosts, `host` or `host:port`, that may be reached without TLS; this machine may.

    Raises:
        ValueError: an entry is none; says which, by its number.
    """
    found: dict[str, Rule] = {}
    for number, entry in enumerate(filter(None, (part.strip() for part in text.split(","))), start=1):
        where, _, listed = (part.strip() for part in entry.partition("="))
        kinds = _KINDS if listed == "*" else frozenset(kind.upper() for kind in listed.split())
        if not where or not kinds or not kinds <= _KINDS:
            said = "AE=KIND KIND, AE@host:port=KIND or URL=KIND"
            raise ValueError(f"entry {number} is not {said}: kinds are {', '.join(sorted(_KINDS))}, or * for all")
        try:
            is_root = where.lower().startswith(_SCHEMES)
            destination = _root(where, frozenset(plain_hosts)) if is_root else _entity(where)
        except ValueError as error:
            raise ValueError(f"entry {number} {error}") from None
        before = found.get(destination.name)
        if before is not None and before.destination != destination:
            raise ValueError(f"entry {number} gives an AE title another address than an entry before it")
        found[destination.name] = Rule(destination, kinds | (before.kinds if before else frozenset()))
    return tuple(found.values())


def _entity(text: str) -> Entity:
    ae_title, at, address = text.rpartition("@")
    if not at:
        ae_title = text
    if not 0 < len(ae_title) <= 16:  # PS3.5 6.2, AE
        raise ValueError("is not an AE title of up to 16 characters, or a URL that begins with https://")
    if not at:
        return Entity(ae_title)
    try:
        return Entity(ae_title, addresses(f"{ae_title}={address}")[ae_title])
    except ValueError:
        raise ValueError("is not AE@host:port") from None


def _root(text: str, plain_hosts: frozenset[str]) -> Root:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError("is not a URL") from None
    if not host or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("is not a URL")
    if parts.username is not None or parts.query or parts.fragment or "?" in text or "#" in text:
        raise ValueError("has more than scheme, host, port and path: what opens a service is in files")
    path = parts.path.rstrip("/")
    if path.endswith("/studies"):
        raise ValueError("names a resource: the root of the service is meant, without /studies")
    if parts.scheme == "http" and not (_is_here(host) or {host, f"{host}:{port or 80}"} & plain_hosts):
        raise ValueError("is not https, and its host is not among those that may be reached without")
    return Root(f"{parts.scheme}://{parts.netloc.lower()}{path}")


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
