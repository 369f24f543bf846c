"""Blocks of code in Markdown, as a filter has to see them that must not be wrong: where all readers agree on their end."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fence:
    """An open block of code."""

    mark: str
    length: int
    indent: int

    def closes(self, stripped: str, indent: int) -> bool:
        """Whether a line ends the block for every reader."""
        return indent <= 3 and self._is_mark(stripped)

    def may_close(self, stripped: str, indent: int) -> bool:
        """Whether a line ends the block only if it began in a list, whose items may be indented as far as it."""
        if not self.indent:
            return False
        has_tab = stripped.startswith("\t")
        return (has_tab or 3 < indent <= self.indent + 3) and self._is_mark(stripped.lstrip(" \t"))

    def _is_mark(self, stripped: str) -> bool:
        body = stripped.rstrip(" \t\r")
        return len(body) >= self.length and not body.strip(self.mark)
