"""Model packages before they come to the catalogue: made anew or of a bundle, locked, and tried on a folder."""
