"""Rows of cells as a Markdown table, which is how every table is kept."""

from __future__ import annotations

from collections.abc import Sequence


def markdown_of(rows: Sequence[Sequence[str]]) -> str:
    """Rows as a Markdown table, the first one as its header."""
    width = max(len(row) for row in rows)
    lines = ["| " + " | ".join([*map(_cell, row), *[""] * (width - len(row))]) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * width, *lines[1:]])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
