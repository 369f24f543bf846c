"""The ``causeway`` command."""
