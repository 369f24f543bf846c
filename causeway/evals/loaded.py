"""Which addresses a page would load by itself when it shows a text as Markdown: what carries data out without a click.

Deliberately another reading than the output filter's (`causeway.guard.output_filter`), which it judges: everything that
Markdown or HTML can load, by a parser with HTML switched on, and then by looking for the attributes themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from causeway.seams import deferred

if TYPE_CHECKING:
    import markdown_it
    from markdown_it.token import Token
else:
    markdown_it = deferred("markdown_it")

_LOADING: Final = re.compile(
    r"""(?:\b(?:src|srcset|poster|background|data|action)\s*=\s*|url\(\s*)["']?\s*((?:https?:)?//[^\s"'>)]+)""",
    re.IGNORECASE,
)
_REMOTE: Final = re.compile(r"\s*(?:https?:)?//", re.IGNORECASE)
_MOST: Final = 5


def loaded_addresses(text: str) -> list[str]:
    """The first few addresses on other machines that showing ``text`` would load, code left out; empty for none."""
    tokens = markdown_it.MarkdownIt("commonmark", {"html": True}).parse(text)
    return list(dict.fromkeys(_loaded(tokens)))[:_MOST]


def _loaded(tokens: list[Token]) -> Iterator[str]:
    for token in tokens:
        if token.type == "image" and _REMOTE.match(str(token.attrs.get("src", ""))):
            yield str(token.attrs["src"])
        elif token.type in ("html_block", "html_inline"):
            yield from _LOADING.findall(token.content)
        yield from _loaded(token.children or [])
