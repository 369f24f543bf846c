"""A file becomes searchable."""

from causeway.compiled import compiled_reader

__path__[:0] = compiled_reader()
