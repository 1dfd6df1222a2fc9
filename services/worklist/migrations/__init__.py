"""Alembic revisions of the schema `worklist`."""
