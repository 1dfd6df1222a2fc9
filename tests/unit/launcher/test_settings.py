"""The launcher's settings."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from services.launcher import addresses, registry
from services.launcher.errors import LauncherError, PortTaken
from services.launcher.settings import REPOSITORY, Settings


def test_without_settings_the_data_lies_in_the_clone_and_ports_are_the_registrys() -> None:
    settings = Settings.read({})
    assert settings.data == REPOSITORY / ".plexus"
    assert settings.ports == {name: port.default for name, port in registry.PORTS.items()}
    assert settings.parts == tuple(registry.BY_NAME)


def test_an_offset_moves_every_port_and_a_single_setting_wins_over_it() -> None:
    settings = Settings.read({"PLEXUS_PORT_OFFSET": "1000", "PLEXUS_PORT_EDGE": "8888"})
    assert settings.ports["edge"] == 8888
    assert settings.ports["dimse"] == 12112


def test_a_flag_wins_over_the_environment(tmp_path: Path) -> None:
    settings = Settings.read({"PLEXUS_PORT_OFFSET": "1000", "PLEXUS_DATA": "/x"}, data=tmp_path, port_offset=2000)
    assert settings.ports["edge"] == 10080
    assert settings.data == tmp_path


def test_settings_survive_the_way_through_an_environment(tmp_path: Path) -> None:
    settings = Settings.on_free_ports(tmp_path, parts=["nats", "edge"], PLEXUS_INGEST_SETTLE_SECONDS="1")
    assert Settings.read(settings.environment()) == settings


def test_free_ports_are_all_different(tmp_path: Path) -> None:
    ports = Settings.on_free_ports(tmp_path).ports
    assert len(set(ports.values())) == len(registry.PORTS)


@pytest.mark.parametrize("value", ["x", "70000", "-1"])
def test_a_port_that_is_none_is_refused_by_its_name(value: str) -> None:
    with pytest.raises(LauncherError, match=r"edge|PLEXUS_PORT_EDGE"):
        Settings.read({"PLEXUS_PORT_EDGE": value})


def test_a_part_that_does_not_exist_is_refused() -> None:
    with pytest.raises(LauncherError, match="nonsense"):
        Settings.read({"PLEXUS_PARTS": "nats,nonsense"})


def test_only_the_settings_of_services_are_taken_over() -> None:
    settings = Settings.read({"PLEXUS_INGEST_SETTLE_SECONDS": "1", "PLEXUS_DATA": "/x", "HOME": "/y"})
    assert settings.overrides == {"PLEXUS_INGEST_SETTLE_SECONDS": "1"}


def test_a_taken_port_is_told_with_its_part_and_setting(tmp_path: Path) -> None:
    settings = Settings.on_free_ports(tmp_path)
    addresses.check_free(settings)
    with socket.socket() as other:
        other.bind(("127.0.0.1", settings.ports["ingest_grpc"]))
        other.listen()
        with pytest.raises(PortTaken, match=r"of ingest is in use already; set PLEXUS_PORT_INGEST_GRPC"):
            addresses.check_free(settings)


def test_a_port_given_to_two_parts_is_told(tmp_path: Path) -> None:
    settings = Settings.read({"PLEXUS_PORT_OFFSET": "30000", "PLEXUS_PORT_EDGE": "41111", "PLEXUS_PORT_NATS": "41111"})
    with pytest.raises(PortTaken, match=r"(?s)nats is given to another part too.*edge is given to another part too"):
        addresses.check_free(settings)
