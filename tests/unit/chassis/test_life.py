"""What a service tells of its settings: which are not the default, never their values."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from services.chassis import life
from services.chassis.settings import BusSettings, RpcSettings, ServiceSettings, configured
from services.contracts import records
from services.contracts.events import AuditRecorded


class Settings(RpcSettings, BusSettings, ServiceSettings):
    """Of a service for this test."""

    model_config = configured("tested")
    profile: Path | None = None
    titles: frozenset[str] = frozenset()


def told(**values: Any) -> dict[str, str]:
    given = {"http_port": 1, "grpc_port": 2, **values}
    return dict(each.split("=") for each in life.fingerprints(Settings(**given), {}))


def test_what_is_not_the_default_is_told_by_name_and_not_by_value() -> None:
    secret = told(nats_url=SecretStr("nats://x:secret@h"), titles=frozenset("ab"))
    assert set(secret) == {"PLEXUS_TESTED_NATS_URL", "PLEXUS_TESTED_TITLES"}
    assert "secret" not in str(secret)
    assert secret == told(nats_url=SecretStr("nats://x:secret@h"), titles=frozenset("ba"))
    other = told(nats_url=SecretStr("nats://x:other@h"), titles=frozenset("ab"))
    assert {name for name in other if other[name] != secret[name]} == {"PLEXUS_TESTED_NATS_URL"}


def test_where_a_process_listens_is_its_own() -> None:
    assert told(http_port=5, grpc_host="0.0.0.0", spans_file=Path("/x")) == {}


def test_another_content_of_a_file_is_another_setting(tmp_path: Path) -> None:
    file = tmp_path / "profile.yaml"
    file.write_text("a")
    before = told(profile=file)
    assert told(profile=file) == before
    file.write_text("b")
    assert set(told(profile=file)) == set(before) and told(profile=file) != before


async def test_a_start_and_a_stop_are_said() -> None:
    said: list[Any] = []

    class Bus:
        """Keeps what is said."""

        async def say(self, event: Any, *, message_id: str | None = None) -> None:
            said.append(event)

    tell = life.told(Bus(), partial(records.life, "tested"), Settings(http_port=1, grpc_port=2), {"KEY": "k"})
    await tell(True)
    await tell(False)
    assert [(each.action, each.service, len(each.settings)) for each in said] == [
        ("start", "tested", 1),
        ("stop", "tested", 0),
    ]
    assert AuditRecorded.from_bytes(said[0].to_bytes()) == said[0]
