"""Decoded pixels and what the data set says of them -> the 8-bit image that a radiologist would see (PS3.4 N.2).

`picture.describe` reads the attributes, `picturing.draw` goes through the transformations in the standard's order
(modality LUT, VOI LUT, presentation LUT, colour, overlays, viewport, annotation), `writing.write` encodes.
"""
