"""Everything that is read: QIDO-RS and WADO-RS (PS3.18 10.4, 10.6) for viewers, gRPC for services of the mesh.

Owns: the prepared metadata of series (schema `archive`); reads the objects and the index that ingest writes.
Hears: `series.settled`, to prepare the metadata of that series before anybody asks.
Says: `audit.recorded`, once for each query and each retrieve, before the answer goes out.
Never: writes an object or the index, or changes what was stored: instances leave as they came, and only a copy is
       decoded when a client asks for another transfer syntax.
"""
