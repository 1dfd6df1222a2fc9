"""What `./plexus` can be asked for, a file each. The mesh itself, which they act on, is a level up."""
