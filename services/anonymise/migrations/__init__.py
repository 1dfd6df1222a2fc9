"""Alembic revisions of the schema `anonymise`."""
