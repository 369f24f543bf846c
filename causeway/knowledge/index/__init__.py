"""Where chunks are kept and found."""
