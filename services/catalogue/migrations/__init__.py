"""Alembic revisions of the schema `catalogue`."""
