"""The questions that services ask one another by gRPC: messages, stubs and servicers under one name each."""

from services.contracts.wire.anonymise.v1.anonymise_pb2 import Original, ReidentifyRequest
from services.contracts.wire.anonymise.v1.anonymise_pb2_grpc import (
    AnonymiseServicer,
    AnonymiseStub,
    add_AnonymiseServicer_to_server,
)
from services.contracts.wire.archive.v1.archive_pb2 import (
    Chunk,
    InstanceList,
    InstanceRef,
    ReadInstanceRequest,
    SeriesDescription,
    SeriesRef,
)
from services.contracts.wire.archive.v1.archive_pb2_grpc import (
    ArchiveServicer,
    ArchiveStub,
    add_ArchiveServicer_to_server,
)
from services.contracts.wire.ingest.v1.ingest_pb2 import Begin, End, StoreReply, StoreRequest
from services.contracts.wire.ingest.v1.ingest_pb2_grpc import (
    IngestServicer,
    IngestStub,
    add_IngestServicer_to_server,
)

CHUNK_BYTES = 256 * 1024
"""How much of a file goes into one message of a stream: well below gRPC's 4 MiB default."""

__all__ = [
    "CHUNK_BYTES",
    "AnonymiseServicer",
    "AnonymiseStub",
    "ArchiveServicer",
    "ArchiveStub",
    "Begin",
    "Chunk",
    "End",
    "IngestServicer",
    "IngestStub",
    "InstanceList",
    "InstanceRef",
    "Original",
    "ReadInstanceRequest",
    "ReidentifyRequest",
    "SeriesDescription",
    "SeriesRef",
    "StoreReply",
    "StoreRequest",
    "add_AnonymiseServicer_to_server",
    "add_ArchiveServicer_to_server",
    "add_IngestServicer_to_server",
]
