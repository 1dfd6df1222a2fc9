"""`plexus canary`: studies with a canary in every corner go through the mesh; then nothing beyond the airlock may sing.

A canary is a value that occurs nowhere else, and says itself where it was planted. What is looked at is all that the
compute zone holds or hears, and all that a service writes for operators: logs, spans, metrics, dumps, temporary files.
"""
