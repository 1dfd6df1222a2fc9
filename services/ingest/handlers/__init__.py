"""The use cases of ingest, one module a kind."""
