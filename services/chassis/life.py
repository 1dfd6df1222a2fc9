"""That a service has started and stopped, and by which settings: said durably, before it serves and after."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, Protocol

from pydantic import SecretStr
from pydantic_settings import BaseSettings

from services.chassis.bus import Event

Life = Callable[[bool], Awaitable[None]]
"""Tells that the service has started (True) or stopped. Raises PassingFault."""

_OF_THE_PROCESS: Final = frozenset({"http_host", "http_port", "grpc_host", "grpc_port", "spans_file"})
"""Where one process listens and writes: replicas differ in them."""
_FILE_BYTES: Final = 1024 * 1024
_DIGEST_BYTES: Final = 8


class Record(Event, Protocol):
    """A record, which has a name of its own."""

    @property
    def record_id(self) -> str:
        """Its name."""


class Speaker(Protocol):
    """Where it is said; `services.chassis.bus.Bus` is it."""

    async def say(self, event: Event, *, message_id: str | None = None) -> None:
        """Say it durably. Raises PassingFault."""


def told(
    events: Speaker, record: Callable[..., Record], settings: BaseSettings, also: Mapping[str, str] | None = None
) -> Life:
    """What tells of the life of a service.

    Args:
        events: where.
        record: makes a record of `started` and `settings`.
        also: what is no setting, but counts as one, by name.
    """

    async def tell(started: bool) -> None:
        made = record(started=started, settings=fingerprints(settings, also or {}) if started else ())
        await events.say(made, message_id=made.record_id)

    return tell


def fingerprints(settings: BaseSettings, also: Mapping[str, str]) -> tuple[str, ...]:
    """`NAME=digest` of what is set otherwise than by default; of a file that is named, its content counts as well."""
    return tuple(f"{name}={_digest(name, value)}" for name, value in sorted({**dict(_set(settings)), **also}.items()))


def _set(settings: BaseSettings) -> Iterator[tuple[str, str | bytes]]:
    prefix = str(settings.model_config.get("env_prefix", ""))
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if name in _OF_THE_PROCESS or value == field.get_default(call_default_factory=True, validated_data={}):
            continue
        match value:
            case SecretStr():
                yield prefix + name.upper(), value.get_secret_value()
            case Path() if value.is_file():
                yield prefix + name.upper(), str(value).encode() + b"\0" + _content(value)
            case frozenset():
                yield prefix + name.upper(), repr(sorted(value))
            case _:
                yield prefix + name.upper(), repr(value)


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_FILE_BYTES)
    except OSError:
        return b""


def _digest(name: str, value: str | bytes) -> str:
    """Short, and slow to make: a password that is guessed cannot be told from others that give the same."""
    data = value.encode() if isinstance(value, str) else value
    salted = hashlib.scrypt(data, salt=name.encode(), n=2**12, r=8, p=1, dklen=_DIGEST_BYTES)
    return salted.hex()
