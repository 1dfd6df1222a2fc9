"""What ports become, one file a technology."""
