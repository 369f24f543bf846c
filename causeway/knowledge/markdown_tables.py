"""Tables in Markdown text: telling them from prose, and joining parts that each have the header."""

from __future__ import annotations

import re
from collections.abc import Sequence

_RULE = re.compile(r"^\|?\s*:?-{2,}")


def is_table(text: str) -> bool:
    """Whether ``text`` is a table: a row of cells and a rule below it."""
    lines = text.split("\n", 2)
    return len(lines) > 1 and "|" in lines[0] and bool(_RULE.match(lines[1].strip()))


def joined(texts: Sequence[str]) -> str:
    """Consecutive chunks as one text: a table that goes on from one to the next has its header once."""
    parts: list[str] = []
    for text in texts:
        for part in text.split("\n\n"):
            header = "\n".join(part.split("\n", 2)[:2])
            if parts and is_table(part) and is_table(parts[-1]) and parts[-1].startswith(f"{header}\n"):
                parts[-1] += part[len(header) :]
            else:
                parts.append(part)
    return "\n\n".join(parts)
