"""What searching needs beside the first tables."""

from __future__ import annotations

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add it."""


def downgrade() -> None:
    """Take it away."""
