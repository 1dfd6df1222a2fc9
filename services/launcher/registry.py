"""The one registry of the mesh's parts: names, ports, needs, and the environment that each service gets.

`plexus up` starts from it and `compose.yaml` is tested against it, so the two cannot drift apart. Values are templates,
filled by a `Site`: only addresses and folders differ between one machine and many.

Zones (DESIGN.md): a part of the compute zone gets no address and no credential of the archive, the index or the
objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from services.contracts.voices import VOICES


class Kind(StrEnum):
    """What a part is."""

    INFRASTRUCTURE = "infrastructure"
    SERVICE = "service"


class Zone(StrEnum):
    """Where a part may stand."""

    HOSPITAL = "hospital"
    COMPUTE = "compute"
    BOTH = "both"  # the bus and the catalogue: what each zone may say there is ruled by its own credentials


@dataclass(frozen=True, slots=True)
class Port:
    """A TCP port: its name (unique in the mesh) and its default number."""

    name: str
    default: int

    @property
    def setting(self) -> str:
        """The environment variable that moves it."""
        return f"PLEXUS_PORT_{self.name.upper()}"


@dataclass(frozen=True, slots=True)
class Part:
    """One process of the mesh. The first port is the one that others call; `environment` holds templates."""

    name: str
    kind: Kind
    zone: Zone
    ports: tuple[Port, ...]
    needs: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


class Site(Protocol):
    """Where the mesh stands: what fills the templates."""

    def values(self) -> Mapping[str, object]:
        """The names that templates may use."""


def _service(
    name: str,
    http: int,
    *,
    needs: tuple[str, ...],
    zone: Zone = Zone.HOSPITAL,
    grpc: int | None = None,
    more_ports: tuple[Port, ...] = (),
    **settings: str,
) -> Part:
    ports = [Port(name, http), *more_ports]
    own = {"HTTP_HOST": "{listen}", "HTTP_PORT": f"{{port[{name}]}}", "SPANS_FILE": f"{{data}}/spans/{name}.jsonl"}
    if grpc is not None:
        ports.append(Port(f"{name}_grpc", grpc))
        own |= {"GRPC_HOST": "{listen}", "GRPC_PORT": f"{{port[{name}_grpc]}}"}
    environment = {f"PLEXUS_{name.upper()}_{key}": value for key, value in (own | settings).items()}
    return Part(name, Kind.SERVICE, zone, tuple(ports), needs, environment)


def _infrastructure(name: str, *ports: Port, zone: Zone = Zone.HOSPITAL, needs: tuple[str, ...] = ()) -> Part:
    return Part(name, Kind.INFRASTRUCTURE, zone, ports, needs)


def _database(role: str) -> str:
    return f"postgresql://{role}:{{secret[postgres_{role}]}}@{{address[postgres]}}/plexus{{database_tls}}"


def _bus(user: str) -> str:
    return f"{{bus_scheme}}://{user}:{{secret[nats_{user}]}}@{{address[nats]}}"


_OBJECTS = "file://{data}/objects"
_WORK = "file://{data}/work"
_PACKAGES = "{data}/packages"

PARTS: tuple[Part, ...] = (
    _infrastructure("postgres", Port("postgres", 15432)),
    _infrastructure("nats", Port("nats", 14222), Port("nats_monitor", 18222), zone=Zone.BOTH),
    _infrastructure("redis", Port("redis", 16379)),
    _infrastructure(
        "triton",
        Port("triton_grpc", 18001),
        Port("triton_http", 18000),
        Port("triton_metrics", 18002),
        zone=Zone.COMPUTE,
    ),
    _infrastructure("edge", Port("edge", 8080)),
    _service(
        "bridge",
        8101,
        needs=("nats", "ingest", "archive"),
        more_ports=(Port("dimse", 11112),),
        DIMSE_HOST="{listen}",
        DIMSE_PORT="{port[dimse]}",
        INGEST_ADDRESS="{address[ingest_grpc]}",
        ARCHIVE_ADDRESS="{address[archive_grpc]}",
        NATS_URL=_bus("bridge"),
        PEERS_FILE="{data}/peers",
        TLS_FOLDER="{tls}",
    ),
    _service(
        "ingest",
        8102,
        grpc=9102,
        needs=("postgres", "nats"),
        DATABASE_URL=_database("ingest"),
        NATS_URL=_bus("ingest"),
        OBJECTS_URL=_OBJECTS,
        PUBLIC_URL="{public}",
        TLS_FOLDER="{tls}",
    ),
    _service(
        "archive",
        8103,
        grpc=9103,
        needs=("postgres", "nats", "ingest"),
        DATABASE_URL=_database("archive"),
        NATS_URL=_bus("archive"),
        OBJECTS_URL=_OBJECTS,
        PUBLIC_URL="{public}",
        TLS_FOLDER="{tls}",
    ),
    _service(
        "catalogue",
        8109,
        grpc=9109,
        zone=Zone.BOTH,  # it gives Triton its models; it never sees a study
        needs=("postgres", "nats", "triton"),
        DATABASE_URL=_database("catalogue"),
        NATS_URL=_bus("catalogue"),
        PACKAGES_FOLDER=_PACKAGES,
        REPOSITORY_FOLDER="{data}/triton/models",
        SHIPPED_FOLDER="{models}",
        ENVIRONMENTS_FOLDER="{data}/triton/environments",
        PYTHON="{triton_python}",
        TRITON_ADDRESS="{address[triton_grpc]}",
        TLS_FOLDER="{tls}",
    ),
    _service(
        "worklist",
        8104,
        needs=("postgres", "nats"),
        DATABASE_URL=_database("worklist"),
        NATS_URL=_bus("worklist"),
        ARCHIVE_ADDRESS="{address[archive_grpc]}",
        CATALOGUE_ADDRESS="{address[catalogue_grpc]}",
        PUBLIC_URL="{public}",
        TLS_FOLDER="{tls}",
    ),
    _service(
        "anonymise",
        8105,
        grpc=9105,
        needs=("postgres", "nats"),
        DATABASE_URL=_database("anonymise"),
        NATS_URL=_bus("anonymise"),
        ARCHIVE_ADDRESS="{address[archive_grpc]}",
        WORK_URL=_WORK,
        KEY_FILE="{secrets}/anonymise.key",
        TLS_FOLDER="{tls}",
    ),
    _service(
        "inference",
        8106,
        zone=Zone.COMPUTE,
        needs=("nats", "triton"),
        NATS_URL=_bus("inference"),
        WORK_URL=_WORK,
        TRITON_ADDRESS="{address[triton_grpc]}",
        PACKAGES_FOLDER=_PACKAGES,
        TLS_FOLDER="{tls}",
    ),
    _service(
        "encode",
        8107,
        needs=("nats",),
        NATS_URL=_bus("encode"),
        WORK_URL=_WORK,
        INGEST_ADDRESS="{address[ingest_grpc]}",
        ARCHIVE_ADDRESS="{address[archive_grpc]}",
        ANONYMISE_ADDRESS="{address[anonymise_grpc]}",
        KEY_FILE="{secrets}/encode.key",
        TLS_FOLDER="{tls}",
    ),
    _service(
        "audit",
        8108,
        needs=("postgres", "nats"),
        DATABASE_URL=_database("audit"),
        NATS_URL=_bus("audit"),
        ARCHIVE_ADDRESS="{address[archive_grpc]}",
        FOLDER="{data}/audit",
        KEY_FILE="{secrets}/audit.key",
        TLS_FOLDER="{tls}",
    ),
)

BY_NAME: Mapping[str, Part] = {part.name: part for part in PARTS}
PORTS: Mapping[str, Port] = {port.name: port for part in PARTS for port in part.ports}
OWNERS: Mapping[str, Part] = {port.name: part for part in PARTS for port in part.ports}

DATABASE_ROLES = ("ingest", "archive", "worklist", "anonymise", "audit", "catalogue")
"""Roles of PostgreSQL: one a service that needs a database (deploy/postgres/provision.sql)."""

BUS_USERS = ("operator", *(voice.service for voice in VOICES))
"""Users of NATS: a person by way of the command line, and each service (deploy/nats/permissions.conf)."""

PASSWORDS = (
    "postgres",
    *(f"postgres_{role}" for role in DATABASE_ROLES),
    *(f"nats_{user}" for user in BUS_USERS),
    "redis",
)
"""Random, made once for each mesh."""

KEYS = ("anonymise.key", "encode.key", "audit.key")
"""32 random bytes each, made once and never replaced: the way back from pseudonyms, the UIDs of results, and what signs
the log of accesses."""


def environment(part: Part, site: Site) -> dict[str, str]:
    """The environment of a service at a site: its templates, filled; what is empty there is left out."""
    values = site.values()
    filled = {name: template.format_map(values) for name, template in part.environment.items()}
    return {name: value for name, value in filled.items() if value}


def certified() -> tuple[str, ...]:
    """The parts that have a certificate of the mesh: our services, and what they reach by TLS."""
    return ("postgres", "nats", *(part.name for part in services()))


def services() -> tuple[Part, ...]:
    """The parts that are our own code."""
    return tuple(part for part in PARTS if part.kind is Kind.SERVICE)


def dependants(name: str) -> tuple[Part, ...]:
    """The parts that need `name`: they stop before it."""
    return tuple(part for part in PARTS if name in part.needs)
