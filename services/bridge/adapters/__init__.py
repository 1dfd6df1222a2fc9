"""The technologies that the bridge stands on: one file each."""
