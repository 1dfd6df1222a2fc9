"""How we run: settings, lifespan, bus, rpc, http, database, telemetry, health. Knows no business word.

Owns the ways in which a service starts, listens, hears, says, fails and stops. It never knows what is said.
"""
