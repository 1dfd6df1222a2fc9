"""The only door out of the hospital zone: DICOM PS3.15 Annex E, pseudonyms, and the key to go back.

Owns the de-identification key, the profile tables, and which pseudonym stands for which original in which release.
Hears `job.requested`; says `job.released`, `job.failed`, `job.progressed`, `audit.recorded`; answers `Reidentify`.
Never lets out an instance that it cannot clean, never decodes a pixel, never writes an original identifier anywhere but
into its own schema and audit records.
"""
