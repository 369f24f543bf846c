"""Causeway: one self-hosted AI platform. Importing the package costs nothing."""

__version__ = "0.1.0"
