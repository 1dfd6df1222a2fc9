"""The command line: sets the mesh up on one machine, runs it, shows what it does.

Owns the registry of parts (ports, needs, environment), the processes of `plexus up`, and the folder `.plexus`.
Hears and says no event; talks to the mesh as any client does: DIMSE, DICOMweb and the edge's HTTP.
Never holds a database or a bus connection open, and never knows a business rule of a service.
"""
