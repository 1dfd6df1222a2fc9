"""A model that a remote server runs: the block `server` of a card of kind `external`, checked.

The server speaks KServe's Open Inference Protocol, version 2. What opens it (certificates, tokens) is never on a card:
a card goes to everybody who reads models.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from services.contracts.card import MAIN_INPUT, CardError, ModelCard, PackageKind
from services.contracts.tensors import geometry_names, promised

_KEYS = {"protocol", "address", "model", "model_version", "tls", "attempts", "tensors"}
_ADDRESS = re.compile(r"(?P<host>[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?):(?P<port>[0-9]{1,5})")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_TENSOR = re.compile(r"[A-Za-z_][A-Za-z0-9_.:/-]{0,127}")
_MOST_ATTEMPTS = 5


class Protocol(StrEnum):
    """In which form of the protocol."""

    GRPC = "grpc"
    HTTP = "http"


@dataclass(frozen=True, slots=True)
class Remote:
    """The block `server`.

    Attributes:
        address: host and port.
        model: its name there.
        model_version: of theirs; "" for the one that they choose.
        attempts: how often it is asked when it is away.
        tensors: their names for our tensors, where they differ; "" for one that is not sent.
    """

    protocol: Protocol
    address: str
    model: str
    model_version: str
    tls: bool
    attempts: int
    tensors: Mapping[str, str]

    @property
    def host(self) -> str:
        """Without the port."""
        return self.address.rpartition(":")[0]

    def name_of(self, tensor: str) -> str:
        """Their name for one of our tensors; "" if it is not sent."""
        return self.tensors.get(tensor, tensor)


def remote_of(card: ModelCard) -> Remote | None:
    """The block of a card of kind `external` that has one, else None: then a performer outside takes the work.

    Raises:
        CardError: it says something that cannot be; the text names the key.
    """
    block = card.source.get("server")
    if block is None:
        return None
    if card.kind is not PackageKind.EXTERNAL:
        raise CardError(f"the model card has a server, which is for kind external, and is of kind {card.kind}")
    if not isinstance(block, Mapping):
        raise CardError("the model card is malformed at the key 'server': keys and values are expected")
    if strange := sorted(set(map(str, block)) - _KEYS):
        raise CardError(f"the model card's server has keys that are not known: {', '.join(strange)}")
    address = str(block.get("address", ""))
    found = _ADDRESS.fullmatch(address)
    if found is None or not 0 < int(found["port"]) < 65536:
        raise CardError("the model card is malformed at the key 'server.address': host:port is expected")
    tls, attempts = block.get("tls", True), block.get("attempts", 3)
    if not isinstance(tls, bool):
        raise CardError("the model card is malformed at the key 'server.tls': true or false is expected")
    if not isinstance(attempts, int) or isinstance(attempts, bool) or not 1 <= attempts <= _MOST_ATTEMPTS:
        raise CardError(f"the model card is malformed at the key 'server.attempts': 1 to {_MOST_ATTEMPTS} are expected")
    try:
        protocol = Protocol(str(block.get("protocol", Protocol.GRPC)))
    except ValueError:
        raise CardError("the model card is malformed at the key 'server.protocol': grpc or http is expected") from None
    return Remote(
        protocol,
        address,
        _named("model", block.get("model", card.name)),
        _named("model_version", block["model_version"]) if "model_version" in block else "",
        tls,
        attempts,
        _tensors(block.get("tensors", {}), card),
    )


def _named(key: str, item: Any) -> str:
    if not _NAME.fullmatch(str(item)):
        raise CardError(f"the model card is malformed at the key 'server.{key}': a name is expected")
    return str(item)


def _tensors(items: Any, card: ModelCard) -> Mapping[str, str]:
    if not isinstance(items, Mapping):
        raise CardError("the model card is malformed at the key 'server.tensors': ours and theirs are expected")
    more = [name for one in card.more_inputs for name in (one.name, *geometry_names(one.name))]
    optional = {"spacing", "direction", *more}
    known = {MAIN_INPUT, *optional, *promised(card)}
    made: dict[str, str] = {}
    for name, theirs in items.items():
        if name not in known:
            raise CardError(f"the model card's server names a tensor that the card has not: {name}")
        if theirs is None and name in optional:
            made[str(name)] = ""
        elif isinstance(theirs, str) and _TENSOR.fullmatch(theirs):
            made[str(name)] = theirs
        else:
            raise CardError(f"the model card is malformed at the key 'server.tensors.{name}': a name is expected")
    return made
