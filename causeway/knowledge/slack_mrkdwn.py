"""An answer as a Slack message: its Markdown as mrkdwn, its citations as links, thumbs as buttons.

What documents say is other people's words. It is escaped before anything else, so that ``<!channel>``, ``<@U1>`` and
``<https://...|...>`` show as they are written; links of the answer's Markdown lose their address; blocks are ``verbatim``,
so that Slack makes no links of its own. The only links are those of the citations, which are made here.
https://api.slack.com/reference/surfaces/formatting
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from causeway.knowledge.answer.events import Cited

UP: Final = "causeway_up"
DOWN: Final = "causeway_down"
"""What the buttons are called in the payload of a click."""
REASON: Final = "causeway_reason"
"""What the form for a reason is called, and the block with it; ``CORRECTION`` is the block with the right answer."""
CORRECTION: Final = "causeway_correction"
REASONS: Final[Mapping[str, str]] = {
    "wrong": "It is wrong",
    "incomplete": "Something is missing",
    "wrong source": "The sources do not fit",
    "refused though documented": "The documents do say",
    "other": "Something else",
}

_LONGEST_SECTION: Final = 2_900
"""Slack takes 3,000 characters."""
_LONGEST_TEXT: Final = 3_500
_MOST_SECTIONS: Final = 20
_MOST_SOURCES: Final = 12
_LONGEST_TITLE: Final = 120

_LINK = re.compile(r"!?\[([^\]\n]*)\]\((?:[^()\s]|\([^()\s]*\))*(?:\s+[^)\n]*)?\)")
_BOLD = re.compile(r"\*\*(?=\S)(.+?)(?<=\S)\*\*|__(?=\S)(.+?)(?<=\S)__")
_HEADING = re.compile(r"^ {0,3}#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
_BULLET = re.compile(r"^(\s*)[-*+]\s+", re.MULTILINE)
_MARK = re.compile(r"\[(\d{1,3})\]")
_CODE = re.compile(r"(```.*?(?:```|\Z)|`[^`\n]+`)", re.DOTALL)
_TABLE = re.compile(r"(?:^\|.*\|[ \t]*$\n?)+", re.MULTILINE)

Block = Mapping[str, Any]
LinkOf = Callable[[Cited], str]
"""The address of a passage in its document; empty when this Causeway's address is not known."""


def escaped(text: str) -> str:
    """``text`` without any meaning to Slack."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def mrkdwn(markdown: str, cited: Mapping[int, str]) -> str:
    """Markdown as Slack writes it; ``cited`` are the addresses of its citation marks, empty where there is none."""
    text = _TABLE.sub(lambda found: f"```\n{found[0].rstrip()}\n```\n", escaped(markdown))
    parts = _CODE.split(text)
    return "".join(part if number % 2 else _prose(part, cited) for number, part in enumerate(parts))


def _prose(text: str, cited: Mapping[int, str]) -> str:
    text = _LINK.sub(lambda found: found[1], text)
    text = _HEADING.sub(lambda found: f"*{found[1].strip('*')}*", text)
    text = _BULLET.sub(r"\1• ", text)
    text = _BOLD.sub(lambda found: f"*{found[1] or found[2]}*", text)
    return _MARK.sub(lambda found: _linked(found, cited), text)


def _linked(mark: re.Match[str], cited: Mapping[int, str]) -> str:
    address = cited.get(int(mark[1]), "")
    return f"<{address}|[{mark[1]}]>" if address else mark[0]


def message(answer: str, citations: Sequence[Cited], link_of: LinkOf, *, is_whole: bool) -> dict[str, object]:
    """``text`` and ``blocks`` of ``chat.postMessage`` and ``chat.update``.

    ``is_whole``: the answer has ended: its sources stand below it, and the buttons.
    """
    cited = {each.n: link_of(each) for each in citations}
    blocks = [_section(part) for part in _parts(answer, cited)]
    if is_whole and citations:
        blocks.append(_context("\n".join(_source(each, cited[each.n]) for each in citations[:_MOST_SOURCES])))
    if is_whole:
        blocks.append(_BUTTONS)
    plain = mrkdwn(answer[:_LONGEST_TEXT], {}) if answer else "…"
    # no preview is fetched of what a document names, and nothing in plain text becomes a link or a mention
    return {
        "text": plain,
        "blocks": blocks or [_section("…")],
        "parse": "none",
        "link_names": False,
        "unfurl_links": False,
        "unfurl_media": False,
    }


def notice(words: str) -> dict[str, object]:
    """A message of Causeway's own words, already mrkdwn."""
    return {"text": words, "blocks": [_section(words)], "unfurl_links": False, "unfurl_media": False}


def reason_form(private: str) -> dict[str, object]:
    """The form that asks why an answer is not good; ``private`` comes back with it."""
    options = [{"text": _plain(words), "value": value} for value, words in REASONS.items()]
    return {
        "type": "modal",
        "callback_id": REASON,
        "private_metadata": private,
        "title": _plain("What is wrong?"),
        "submit": _plain("Send"),
        "close": _plain("Not now"),
        "blocks": [
            {
                "type": "input",
                "block_id": REASON,
                "optional": True,
                "label": _plain("Reason"),
                "element": {"type": "static_select", "action_id": REASON, "options": options},
            },
            {
                "type": "input",
                "block_id": CORRECTION,
                "optional": True,
                "label": _plain("What would have been right?"),
                "element": {
                    "type": "plain_text_input",
                    "action_id": CORRECTION,
                    "multiline": True,
                    "max_length": 3000,
                },
            },
        ],
    }


def _parts(answer: str, cited: Mapping[int, str]) -> Iterator[str]:
    pieces = list(_pieces(answer.strip(), _LONGEST_SECTION - 900))
    for piece in pieces[:_MOST_SECTIONS]:
        written = mrkdwn(piece, cited)
        if len(written) <= _LONGEST_SECTION:
            yield written
        else:  # marks that are written longer than they are
            yield from (mrkdwn(small, cited) for small in _pieces(piece, _LONGEST_SECTION // 6))
    if len(pieces) > _MOST_SECTIONS:
        yield "_The rest is longer than a message in Slack may be._"


def _pieces(text: str, longest: int) -> Iterator[str]:
    """``text`` cut at ends of paragraphs, else of lines, else of words."""
    while len(text) > longest:
        cuts = (text.rfind(mark, 0, longest) for mark in ("\n\n", "\n", " "))
        at = next((cut for cut in cuts if cut > longest // 3), longest)
        yield text[:at].rstrip()
        text = text[at:].lstrip("\n ")
    if text:
        yield text


def _source(cited: Cited, address: str) -> str:
    title = " ".join((cited.title or cited.path).split())
    shown = escaped(title if len(title) <= _LONGEST_TITLE else f"{title[: _LONGEST_TITLE - 1]}…")
    page = f", page {cited.page}" if cited.page else ""
    return f"[{cited.n}] {f'<{address}|{shown}>' if address else shown}{page}"


def _section(text: str) -> Block:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}}


def _context(text: str) -> Block:
    element = {"type": "mrkdwn", "text": text[:_LONGEST_SECTION], "verbatim": True}
    return {"type": "context", "elements": [element]}


def _plain(text: str) -> Block:
    return {"type": "plain_text", "text": text}


def _button(action: str, words: str) -> Block:
    return {"type": "button", "action_id": action, "value": action, "text": {**_plain(words), "emoji": True}}


_BUTTONS: Final[Block] = {
    "type": "actions",
    "block_id": "causeway_vote",
    "elements": [_button(UP, ":thumbsup: Helpful"), _button(DOWN, ":thumbsdown: Not helpful")],
}
