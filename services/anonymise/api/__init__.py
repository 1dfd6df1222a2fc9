"""The HTTP edge: `POST /deidentify`, and the quarantine."""
