"""The life of every model call."""

from causeway.compiled import compiled_modules

__path__[:0] = compiled_modules(__name__)
