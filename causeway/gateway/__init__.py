"""The life of every model call."""
