"""The front door: every instance comes in here, by STOW-RS or by gRPC, from outside and from our own services alike.

Owns the schema `index` and the object store (through `services.store`): it alone writes them. Says `instance.stored`
once an instance is durable, `series.settled` once what carried a series has ended, and `audit.recorded` for every
attempt. Hears no event. It never changes, replaces or deletes what is stored, and never answers "stored" before the
commit.
"""
