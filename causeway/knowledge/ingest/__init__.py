"""A file becomes searchable."""
