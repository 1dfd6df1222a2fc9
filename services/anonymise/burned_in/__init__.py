"""Text in pixels: whether a picture is suspect, where it shows text, how that is masked, and what stays doubtful."""
