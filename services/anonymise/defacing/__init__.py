"""Faces: whether a series may show one, where it is, and the series without it (PS3.15 E.3.2)."""
