"""Mutual TLS between services: who may ask what is a matter of certificates."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest

from services.chassis import rpc
from services.chassis.doors import Doors
from services.chassis.identity import Identity, IdentityUnreadable
from services.chassis.log import Log
from services.chassis.principal import Principal
from services.contracts import calls, records
from services.contracts.voices import VOICES
from services.launcher import registry
from services.launcher.commands import certificates
from services.launcher.errors import LauncherError
from services.launcher.registry import Zone
from services.launcher.settings import free_port

SERVICES = [part.name for part in registry.services()]


class Servicer(calls.ArchiveServicer):
    """Answers one unary and one streaming question."""

    async def DescribeSeries(self, request: calls.SeriesRef, context: Any) -> calls.SeriesDescription:
        """For worklist."""
        return calls.SeriesDescription(digest="d", instances=3)

    async def ReadInstance(self, request: calls.ReadInstanceRequest, context: Any) -> AsyncIterator[calls.Chunk]:
        """For anonymise, encode and bridge."""
        yield calls.Chunk(data=b"x")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("tls")
    certificates.make(made, SERVICES, days=1)
    return made


@asynccontextmanager
async def archive(folder: Path, doors: Doors | None = None) -> AsyncIterator[str]:
    """An archive with its certificate; gives its address."""
    port = free_port()
    async with rpc.serving(
        "127.0.0.1",
        port,
        log=Log("archive"),
        grace=1,
        add=lambda server: calls.add_ArchiveServicer_to_server(Servicer(), server),  # type: ignore[no-untyped-call]
        identity=Identity.read(folder / "archive"),
        askers=calls.ASKERS,
        doors=doors,
    ):
        yield f"127.0.0.1:{port}"


async def asked(address: str, identity: Identity | None) -> dict[str, grpc.StatusCode]:
    """How each question ends."""
    ended = {}
    async with rpc.channel(address, identity) as channel:
        stub = calls.ArchiveStub(channel)  # type: ignore[no-untyped-call]
        with rpc.call("ask", Principal.local()) as metadata:
            try:
                await stub.DescribeSeries(calls.SeriesRef(), metadata=metadata, timeout=5)
                ended["DescribeSeries"] = grpc.StatusCode.OK
            except grpc.aio.AioRpcError as error:
                ended["DescribeSeries"] = error.code()
            try:
                async for _ in stub.ReadInstance(calls.ReadInstanceRequest(), metadata=metadata, timeout=5):
                    pass
                ended["ReadInstance"] = grpc.StatusCode.OK
            except grpc.aio.AioRpcError as error:
                ended["ReadInstance"] = error.code()
    return ended


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_may_ask_what_is_its_own_and_nothing_else(folder: Path, service: str) -> None:
    async with archive(folder) as address:
        ended = await asked(address, Identity.read(folder / service))
    for method, code in ended.items():
        may = service in calls.ASKERS[f"plexus.archive.v1.Archive/{method}"]
        assert code is (grpc.StatusCode.OK if may else grpc.StatusCode.PERMISSION_DENIED)


async def test_who_has_no_certificate_or_one_of_another_authority_is_not_heard(folder: Path, tmp_path: Path) -> None:
    certificates.make(tmp_path, ["worklist"], days=1)
    stranger = Identity.read(tmp_path / "worklist")
    async with archive(folder) as address:
        for identity in (
            None,
            stranger,
            Identity(Identity.read(folder / "worklist").authority, stranger.certificate, stranger.key),
        ):
            assert set((await asked(address, identity)).values()) == {grpc.StatusCode.UNAVAILABLE}


def test_the_compute_zone_may_ask_nothing() -> None:
    compute = {voice.service for voice in VOICES if registry.BY_NAME[voice.service].zone is Zone.COMPUTE}
    assert compute
    assert not compute & {service for services in calls.ASKERS.values() for service in services}


def test_keys_are_their_owners_and_are_not_written_over(folder: Path) -> None:
    assert (folder / "archive" / "key.pem").stat().st_mode & 0o077 == 0
    with pytest.raises(LauncherError, match="already"):
        certificates.make(folder, SERVICES, days=1)


def test_a_folder_without_an_identity_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(IdentityUnreadable, match="plexus certificates"):
        Identity.read(tmp_path)


async def test_a_certificate_that_is_used_first_and_a_call_that_is_refused_are_recorded(folder: Path) -> None:
    said: list[Any] = []

    class Bus:
        """Keeps what is said."""

        async def say(self, event: Any, *, message_id: str | None = None) -> None:
            said.append(event)

    doors = Doors(Bus(), partial(records.door, "archive"), log=Log("archive"))
    async with archive(folder, doors) as address:
        for name in ("worklist", "worklist", "ingest"):
            await asked(address, Identity.read(folder / name))
    assert [(each.action, each.caller, each.source, each.reason_code, each.detail) for each in said] == [
        ("login", "service:worklist", "127.0.0.1", "", "rpc"),
        *[("associate", "service:worklist", "127.0.0.1", "not-allowed", "plexus.archive.v1.Archive/ReadInstance")] * 2,
        ("associate", "service:ingest", "127.0.0.1", "not-allowed", "plexus.archive.v1.Archive/DescribeSeries"),
        ("associate", "service:ingest", "127.0.0.1", "not-allowed", "plexus.archive.v1.Archive/ReadInstance"),
    ]
    assert {each.proved_by for each in said} == {"certificate"}
