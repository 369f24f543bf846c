"""Prompts, apart from code."""
