"""Plexus: independent services of a DICOMweb-native mesh. The folders are the architecture."""
