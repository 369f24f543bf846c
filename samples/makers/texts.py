"""Read the marked-up texts and tables below ``sources/``."""

from __future__ import annotations

import csv
import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
SOURCES = HERE / "sources"
DOCUMENTS = HERE / "documents"

GREEN = "2F6B4F"
PALE = "E8F0EB"


@dataclass
class Block:
    """One piece of a source text.

    Attributes:
        kind: ``heading``, ``paragraph``, ``bullets``, ``numbers`` or ``table``.
        text: The words of a heading or paragraph.
        rows: List items (one cell each) or table rows, the first being the header.
    """

    kind: str
    text: str = ""
    rows: list[list[str]] = field(default_factory=list)


@dataclass
class Source:
    """A source text: its ``key: value`` opening lines and its blocks."""

    meta: dict[str, str]
    blocks: list[Block]

    @property
    def date(self) -> dt.datetime:
        """Return the date of the document, at nine in the morning."""
        return dt.datetime.fromisoformat(self.meta["date"]).replace(hour=9)


def split_meta(text: str) -> tuple[dict[str, str], str]:
    """Separate the opening ``key: value`` lines from the rest of a source."""
    opening, _, rest = text.partition("\n\n")
    pairs = (line.partition(": ") for line in opening.splitlines())
    return {key: value for key, _, value in pairs}, rest


def line_kind(line: str) -> str:
    """Tell what kind of block a source line belongs to."""
    if line.startswith("# "):
        return "heading"
    if line.startswith("- "):
        return "bullets"
    if line.startswith("| "):
        return "table"
    return "numbers" if re.match(r"\d+\. ", line) else "paragraph"


def parse_blocks(text: str) -> Iterator[Block]:
    """Yield the blocks of a source text, which are separated by empty lines."""
    for chunk in re.split(r"\n\s*\n", text.strip()):
        lines = chunk.splitlines()
        kind = line_kind(lines[0])
        if kind in ("heading", "paragraph"):
            yield Block(kind, re.sub(r"^# ", "", " ".join(lines)))
        elif kind == "table":
            yield Block(kind, rows=[[cell.strip() for cell in line.strip("|").split("|")] for line in lines])
        else:
            yield Block(kind, rows=[[re.sub(r"^(- |\d+\. )", "", line)] for line in lines])


def read_source(name: str) -> Source:
    """Read one of the marked-up texts below ``sources/``."""
    meta, rest = split_meta((SOURCES / name).read_text(encoding="utf-8"))
    return Source(meta, list(parse_blocks(rest)))


def read_rows(name: str) -> list[list[str]]:
    """Read a comma-separated file below ``sources/``, header included."""
    with (SOURCES / name).open(encoding="utf-8", newline="") as stream:
        return list(csv.reader(stream))


def bold_runs(text: str) -> Iterator[tuple[str, bool]]:
    """Yield the runs of a text and whether each stands between ``**`` marks."""
    for number, run in enumerate(text.split("**")):
        if run:
            yield run, number % 2 == 1
