"""The door back: turns a model's result into DICOM objects of the original study, and stores them by the front door.

Owns nothing that lasts: its results get their names (SOP Instance UIDs) from the job's id under a key, so that a job
that is delivered again makes the same objects. Hears `job.inferred`. Says `job.completed`, `job.failed`,
`job.progressed` and `audit.recorded`. Asks `anonymise` for the original identifiers, `archive` for the source headers,
and `ingest` to store. Reads pixels of the source for key pictures alone, never writes to the archive or its index
itself, and never believes what comes out of the compute zone before it is checked.
"""
