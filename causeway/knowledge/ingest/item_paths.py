"""Paths for things that have titles in place of file names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

_LONGEST_PART = 100


def part(title: str) -> str:
    """A title as one part of a path."""
    visible = "".join(
        letter if letter.isprintable() else " " for letter in title.replace("/", "\N{DIVISION SLASH}")
    )
    return " ".join(visible.split()).strip(".")[:_LONGEST_PART].strip() or "Untitled"


def unique_paths(wanted: Mapping[str, tuple[Sequence[str], str]]) -> dict[str, str]:
    """Id -> path, from the parts and the suffix that each id would like; those that want the same get their id's start.

    The same set of wishes always gives the same paths.
    """
    paths = {identity: "/".join(parts) + suffix for identity, (parts, suffix) in wanted.items()}
    for length in (8, None):
        how_many = Counter(paths.values())
        for identity, (parts, suffix) in wanted.items():
            if how_many[paths[identity]] > 1:
                paths[identity] = f"{'/'.join(parts)} {identity[:length]}{suffix}"
    return paths
