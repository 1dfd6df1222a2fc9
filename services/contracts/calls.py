"""The questions that services ask one another by gRPC: messages, stubs and servicers under one name each."""

from typing import Final

from services.contracts.wire.anonymise.v1.anonymise_pb2 import (
    Original,
    OriginalInput,
    ReidentifyRequest,
    Restored,
    RestoreRequest,
)
from services.contracts.wire.anonymise.v1.anonymise_pb2_grpc import (
    AnonymiseServicer,
    AnonymiseStub,
    add_AnonymiseServicer_to_server,
)
from services.contracts.wire.archive.v1.archive_pb2 import (
    LEVEL_IMAGE,
    LEVEL_PATIENT,
    LEVEL_SERIES,
    LEVEL_STUDY,
    CheckReply,
    CheckRequest,
    Chunk,
    FindReply,
    FindRequest,
    InstanceList,
    InstanceRef,
    Key,
    LocateReply,
    LocateRequest,
    Place,
    ReadInstanceRequest,
    Reference,
    SeriesDescription,
    SeriesRef,
)
from services.contracts.wire.archive.v1.archive_pb2_grpc import (
    ArchiveServicer,
    ArchiveStub,
    add_ArchiveServicer_to_server,
)
from services.contracts.wire.catalogue.v1.catalogue_pb2 import ActiveModel, ActiveModels, ListActiveRequest
from services.contracts.wire.catalogue.v1.catalogue_pb2_grpc import (
    CatalogueServicer,
    CatalogueStub,
    add_CatalogueServicer_to_server,
)
from services.contracts.wire.ingest.v1.ingest_pb2 import Begin, End, StoreReply, StoreRequest, Whole
from services.contracts.wire.ingest.v1.ingest_pb2_grpc import (
    IngestServicer,
    IngestStub,
    add_IngestServicer_to_server,
)

CHUNK_BYTES = 256 * 1024
"""How much of a file goes into one message of a stream: well below gRPC's 4 MiB default."""

FILE_CHUNK_BYTES = 1024 * 1024
"""The same for files that are stored: most images are shorter, and go in one message."""

_ARCHIVE: Final = "plexus.archive.v1.Archive"
ASKERS: Final = {
    "plexus.ingest.v1.Ingest/Store": frozenset({"bridge", "encode"}),
    f"{_ARCHIVE}/DescribeSeries": frozenset({"worklist"}),
    f"{_ARCHIVE}/ListInstances": frozenset({"anonymise", "worklist"}),
    f"{_ARCHIVE}/ReadInstance": frozenset({"anonymise", "encode", "bridge"}),
    f"{_ARCHIVE}/Find": frozenset({"bridge", "audit", "worklist"}),
    f"{_ARCHIVE}/Locate": frozenset({"bridge"}),
    f"{_ARCHIVE}/Check": frozenset({"bridge"}),
    "plexus.anonymise.v1.Anonymise/Reidentify": frozenset({"encode"}),
    "plexus.anonymise.v1.Anonymise/Restore": frozenset({"encode"}),
    "plexus.catalogue.v1.Catalogue/ListActive": frozenset({"worklist"}),
}
"""Which services may ask what, where they have certificates. The compute zone is in none of them."""

__all__ = [
    "ASKERS",
    "CHUNK_BYTES",
    "FILE_CHUNK_BYTES",
    "LEVEL_IMAGE",
    "LEVEL_PATIENT",
    "LEVEL_SERIES",
    "LEVEL_STUDY",
    "ActiveModel",
    "ActiveModels",
    "AnonymiseServicer",
    "AnonymiseStub",
    "ArchiveServicer",
    "ArchiveStub",
    "Begin",
    "CatalogueServicer",
    "CatalogueStub",
    "CheckReply",
    "CheckRequest",
    "Chunk",
    "End",
    "FindReply",
    "FindRequest",
    "IngestServicer",
    "IngestStub",
    "InstanceList",
    "InstanceRef",
    "Key",
    "ListActiveRequest",
    "LocateReply",
    "LocateRequest",
    "Original",
    "OriginalInput",
    "Place",
    "ReadInstanceRequest",
    "Reference",
    "ReidentifyRequest",
    "RestoreRequest",
    "Restored",
    "SeriesDescription",
    "SeriesRef",
    "StoreReply",
    "StoreRequest",
    "Whole",
    "add_AnonymiseServicer_to_server",
    "add_ArchiveServicer_to_server",
    "add_CatalogueServicer_to_server",
    "add_IngestServicer_to_server",
]
