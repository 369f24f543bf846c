"""The strategy ``parent_child``: small chunks are searched, and an answer is given the section that holds one.

A small chunk says one thing and is found by it; a section has what is needed to understand it. Sections are the chunks
of the strategy ``structure``, longer than an embedding model could take, since they are never embedded. The section is
not stored again: it is its chunks in order, as `joined` puts them together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count

from causeway.knowledge.document import Block, Chunk
from causeway.knowledge.ingest.chunk_flat import Filling, Size
from causeway.knowledge.ingest.chunk_text import Counter
from causeway.knowledge.markdown_tables import is_table

_HEADING = re.compile(r"^(#{1,6}) (\S.*)$")


def children(counter: Counter, sections: Sequence[Chunk], *, child_tokens: int) -> tuple[Chunk, ...]:
    """The chunks of ``sections``, each knowing the first one of its section."""
    found: list[Chunk] = []
    ordinals = count()
    for section in sections:
        blocks = list(_blocks(section.text))
        if counter.shortened(section.heading, child_tokens) != section.heading:
            # what is too long for the path of a small chunk is said once in the text
            blocks.insert(0, Block(kind="heading", text=section.heading, level=1))
        filling = Filling(
            counter,
            blocks,
            heading=section.heading,
            size=Size(max_tokens=child_tokens),
        )
        parts = filling.chunks(filling.text.sentences(filling.room))
        first = len(found)
        found += [
            replace(
                part,
                ordinal=next(ordinals),
                page=section.page,
                places=section.places,
                parent=first if len(parts) > 1 else None,
            )
            for part in parts
        ]
    return tuple(found)


def _blocks(text: str) -> Iterator[Block]:
    """A section's text as blocks again."""
    fenced: list[str] = []
    for part in text.split("\n\n"):
        if fenced or part.startswith(("```", "~~~")):
            fenced.append(part)
            if part.rstrip().endswith(fenced[0][:3]) and (len(fenced) > 1 or part.count(fenced[0][:3]) > 1):
                yield Block(kind="code", text="\n\n".join(fenced))
                fenced = []
            continue
        heading = _HEADING.match(part)
        if heading:
            yield Block(kind="heading", text=heading[2], level=len(heading[1]))
        elif is_table(part):
            yield Block(kind="table", text=part)
        else:
            yield Block(kind="list" if part.lstrip().startswith(("-", "*", "+")) else "paragraph", text=part)
    if fenced:
        yield Block(kind="code", text="\n\n".join(fenced))
