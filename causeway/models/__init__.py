"""Providers of models, local and remote."""
