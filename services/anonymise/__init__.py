"""The only door out of the hospital zone: DICOM PS3.15 Annex E, pseudonyms, and the key to go back.

Owns the de-identification keys, the profiles and their tables, which pseudonym stands for which original in which
release, and the report of what was done to each instance.
Hears `job.requested`, `job.cancelled`; says `job.released`, `job.failed`, `job.progressed`, `audit.recorded`; answers
`Reidentify`, `Restore` and `POST /deidentify`.
Never lets out an instance that it cannot clean, never decodes a pixel, never writes an original identifier anywhere but
into its own schema and audit records.
"""
