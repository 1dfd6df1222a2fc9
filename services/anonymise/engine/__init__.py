"""De-identification by PS3.15 Annex E: tables as data, the walk through every item, what leads back; pure."""
