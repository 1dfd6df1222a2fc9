"""Where it lies: objects and index behind one door. Ingest writes, the archive reads; nobody else opens it.

Owns the bytes of every instance (content-addressed, durable once kept) and the schema `index` in PostgreSQL. Says and
hears nothing. Never names a file after what a header says, and never deletes.
"""
