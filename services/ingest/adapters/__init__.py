"""The technologies that ingest stands on."""
