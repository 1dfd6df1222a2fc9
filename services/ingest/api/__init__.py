"""The HTTP edge: STOW-RS (PS3.18 10.5), deletion, evidence."""

from __future__ import annotations

from services.ingest.api import deleting, evidence, storing

__all__ = ["deleting", "evidence", "storing"]
