"""The front door: every instance comes in here, by STOW-RS or by gRPC, from outside and from our own services alike.

Owns the schema `index` and the object store (through `services.store`): it alone writes them. Says `instance.stored`
once an instance is durable, `instance.deleted` once it is gone, `series.settled` once what carried a series has ended,
and `audit.recorded` for every attempt. Hears no event. It never answers "stored" before the commit, and nothing that is
stored is lost but by a request to delete it, which a setting has to allow.
"""
