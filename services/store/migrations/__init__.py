"""The history of the schema `index`."""
