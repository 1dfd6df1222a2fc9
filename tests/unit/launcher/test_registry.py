"""The one registry of parts."""

from __future__ import annotations

import importlib
import re
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest

from services.launcher import registry, secrets
from services.launcher.parts.service import Service
from services.launcher.registry import Kind, Zone
from services.launcher.settings import REPOSITORY, Settings
from services.launcher.site import Compose, Local

SERVICES = [part.name for part in registry.services()]


@pytest.fixture
def local(tmp_path: Path) -> Local:
    settings = Settings.read({}, data=tmp_path)
    secrets.ensure(settings.secrets)
    return Local(settings)


def test_no_port_is_given_twice() -> None:
    numbers = Counter(port.default for port in registry.PORTS.values())
    assert [number for number, times in numbers.items() if times > 1] == []
    assert len(registry.PORTS) == sum(len(part.ports) for part in registry.PARTS)


def test_every_need_is_a_part_and_no_part_needs_itself_by_others() -> None:
    started: set[str] = set()
    waiting = {part.name: set(part.needs) for part in registry.PARTS}
    while waiting:
        free = {name for name, needs in waiting.items() if needs <= started}
        assert free, f"these wait for one another: {waiting}"
        started |= free
        waiting = {name: needs for name, needs in waiting.items() if name not in free}


def test_every_service_of_the_house_is_registered() -> None:
    folders = {path.parent.name for path in (REPOSITORY / "services").glob("*/__main__.py")} - {"launcher"}
    assert folders <= set(SERVICES)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_gets_every_setting_that_it_requires_and_none_that_it_does_not_have(name: str, local: Local) -> None:
    if find_spec(f"services.{name}.settings") is None:
        pytest.fail(f"services/{name}/settings.py is missing")
    fields = importlib.import_module(f"services.{name}.settings").Settings.model_fields
    given = {
        key.removeprefix(f"PLEXUS_{name.upper()}_").lower()
        for key in registry.environment(registry.BY_NAME[name], local)
    }
    assert given - fields.keys() == set()
    assert {field for field, info in fields.items() if info.is_required()} - given == set()


def test_the_compute_zone_gets_no_address_and_no_secret_of_the_hospital_zone(local: Local) -> None:
    passwords = secrets.passwords(local.settings.secrets)
    hospital_ports = [
        port for part in registry.PARTS if part.zone is Zone.HOSPITAL for port in part.ports if port.name != "edge"
    ]
    for part in registry.PARTS:
        if part.zone is not Zone.COMPUTE:
            continue
        told = " ".join(registry.environment(part, local).values())
        assert not [port.name for port in hospital_ports if re.search(rf":{local.settings.ports[port.name]}\b", told)]
        assert not [name for name, value in passwords.items() if value in told and name != f"nats_{part.name}"]
        assert str(local.settings.secrets) not in told
        assert "objects" not in told


def test_only_ingest_and_archive_know_where_the_objects_are(local: Local) -> None:
    knowing = [
        part.name
        for part in registry.services()
        if any("objects" in value for value in registry.environment(part, local).values())
    ]
    assert knowing == ["ingest", "archive"]


def test_here_and_under_compose_a_service_gets_the_same_settings(local: Local) -> None:
    for part in registry.services():
        here, there = (registry.environment(part, site) for site in (local, Compose()))
        assert there.keys() - here.keys() <= {f"PLEXUS_{part.name.upper()}_TLS_FOLDER"}  # here it is loopback
        assert here.keys() <= there.keys()


def test_every_service_of_a_database_has_a_role_in_the_provisioning() -> None:
    script = (REPOSITORY / "deploy" / "postgres" / "provision.sql").read_text()
    users = {
        part.name for part in registry.services() if f"PLEXUS_{part.name.upper()}_DATABASE_URL" in part.environment
    }
    assert users == set(registry.DATABASE_ROLES)
    for role in registry.DATABASE_ROLES:
        assert f"\\getenv {role} PLEXUS_POSTGRES_{role.upper()}_PASSWORD" in script
        assert f"ALTER ROLE {role} PASSWORD :'{role}'" in script


def test_infrastructure_needs_no_service() -> None:
    ours = {part.name for part in registry.services()}
    assert not [part.name for part in registry.PARTS if part.kind is Kind.INFRASTRUCTURE and ours & set(part.needs)]


def test_what_is_set_for_one_service_reaches_no_other(tmp_path: Path) -> None:
    """So keys of a bucket can be given to each zone, and the compute zone's are its own."""
    own = {f"PLEXUS_{name.upper()}_WORK_ACCESS_KEY": f"of-{name}" for name in ("anonymise", "encode", "inference")}
    settings = Settings.read({**own, "AWS_ACCESS_KEY_ID": "lies-around"}, data=tmp_path)
    secrets.ensure(settings.secrets)
    for part in registry.services():
        environment = Service(part, settings).prepare().environment
        told = {name: value for name, value in environment.items() if name in own or name.startswith("AWS_")}
        assert told == {name: value for name, value in own.items() if name.startswith(f"PLEXUS_{part.name.upper()}_")}


def test_under_compose_no_configuration_of_the_compute_zone_has_a_secret_of_the_hospital_zone() -> None:
    for part in registry.services():
        told = " ".join(registry.environment(part, Compose()).values())
        assert set(re.findall(r"PLEXUS_SECRET_\w+", told)) <= {
            f"PLEXUS_SECRET_{kind}_{part.name.upper()}" for kind in ("NATS", "POSTGRES")
        }
        assert ("postgres" in told) == (part.name in registry.DATABASE_ROLES)
        if part.zone is Zone.COMPUTE:
            assert "/run/secrets" not in told and "objects" not in told
