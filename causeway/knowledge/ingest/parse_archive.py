"""ZIP -> blocks: a folder in one file. Each member that can be read is a section under its path in the archive.

What cannot be read is named with its reason in the document's metadata, and the rest is read all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from causeway.errors import UnreadableDocumentError
from causeway.knowledge.document import Block, ParsedDocument
from causeway.knowledge.ingest.archive import members
from causeway.knowledge.ingest.sniff import ZIP

_MOST_NAMED = 20


def parse_archive(content: bytes, parse_member: Callable[[bytes, str], ParsedDocument]) -> ParsedDocument:
    """The documents in a ZIP archive as one; ``parse_member`` gets each member's bytes and path.

    Raises:
        UnreadableDocumentError: It is damaged or a bomb, or nothing in it can be read.
    """
    blocks: list[Block] = []
    skipped: list[str] = []
    read = 0
    for member in members(content):
        reason = member.skipped
        if not reason:
            try:
                parsed = parse_member(member.content, member.path)
            except UnreadableDocumentError as exc:
                reason = exc.message
            else:
                read += 1
                blocks.append(Block(kind="heading", text=member.path, level=1))
                blocks += map(_lowered, parsed.blocks)
        if reason:
            skipped.append(f"{member.path}: {reason}")
    if not read:
        raise UnreadableDocumentError(_nothing(skipped))
    metadata = {"files": str(read)}
    if skipped:
        more = f" and {len(skipped) - _MOST_NAMED} more" if len(skipped) > _MOST_NAMED else ""
        metadata["skipped"] = "; ".join(skipped[:_MOST_NAMED]) + more
    return ParsedDocument(title="", media_type=ZIP, blocks=tuple(blocks), metadata=metadata)


def _nothing(skipped: list[str]) -> str:
    if not skipped:
        return "the archive is empty"
    more = f" (and {len(skipped) - 1} more files)" if len(skipped) > 1 else ""
    return f"nothing in the archive can be read: {skipped[0]}{more}"


def _lowered(block: Block) -> Block:
    """Below its path; its pages are the member's, not the archive's."""
    level = min(6, block.level + 1) if block.kind == "heading" else block.level
    return replace(block, level=level, page=None, places=())
