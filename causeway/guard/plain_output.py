"""Text that leaves for places which are not Markdown: secrets taken out, spreadsheets and invisible characters disarmed."""

from __future__ import annotations

import re

from causeway.guard.credentials import find_credentials, follows_a_name

REDACTED = "(secret removed)"

_FORMULA = re.compile(r"[\s\u200b\ufeff]*[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"[+-]?[0-9][0-9.,]*(?:[eE][+-]?[0-9]+)?%?")
_FLAG = re.compile("\U0001f3f4[\U000e0061-\U000e007a\U000e0030-\U000e0039]{1,8}\U000e007f")
_CONTROLS = re.compile("[\U000e0000-\U000e007f\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c]")
_LAST_WORD = re.compile(r"[^\s\"'`<>()\[\]{},;]{1,4096}\Z")
_HELD_KEY = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}(?:PRIVATE KEY|\Z)")
_KEY_END = re.compile(r"-----END [A-Z0-9 ]{0,40}-----")
_CONTEXT = 160
_LONGEST_WORD = 4_096
_MOST_HELD = 20_480


def disarmed_cell(value: str) -> str:
    """A spreadsheet cell that no program runs as a formula (OWASP, CSV injection); numbers stay numbers."""
    if _FORMULA.match(value) and not _NUMBER.fullmatch(value.strip()):
        return "'" + value
    return value


def without_unseen(text: str) -> str:
    """``text`` without tag characters and direction controls, which people do not see and models read.

    The tags of a flag such as Scotland's stay.
    """
    if text.isascii() or not _CONTROLS.search(text):
        return text
    pieces: list[str] = []
    done = 0
    for flag in _FLAG.finditer(text):
        pieces += _CONTROLS.sub("", text[done : flag.start()]), flag[0]
        done = flag.end()
    return "".join([*pieces, _CONTROLS.sub("", text[done:])])


def without_secrets(text: str) -> str:
    """``text`` with every secret of a program replaced by `REDACTED`."""
    return SecretRedactor().whole(text)


class SecretRedactor:
    """Takes secrets out of a text that comes in pieces.

    Words go through at once. Held back is a word that may become a key: with a digit, hyphen or underscore in it, or after
    ``password:`` and the like; and a private key until it ends.
    """

    def __init__(self) -> None:
        self.count = 0
        self._context = ""
        self._held = ""

    def feed(self, piece: str) -> str:
        """What can be shown now that ``piece`` has come."""
        self._held += piece
        return self._release(self._safe_length())

    def end(self) -> str:
        """What is left."""
        return self._release(len(self._held))

    def whole(self, text: str) -> str:
        """A whole text, redacted."""
        return self.feed(text) + self.end()

    def _safe_length(self) -> int:
        held, floor = self._held, 0
        key = held.find("-----BEGIN ")
        if key >= 0 and _HELD_KEY.match(held, key):
            end = _KEY_END.search(held, key)
            if end is None and len(held) < _MOST_HELD:
                return key
            floor = end.end() if end else 0
        word = _LAST_WORD.search(held, max(floor, len(held) - _LONGEST_WORD))
        if word is None or len(held) >= _MOST_HELD:
            return len(held)
        before = self._context + held[: word.start()]
        is_risky = any(character.isdigit() or character in "-_:=/." for character in word[0])
        return word.start() if is_risky or follows_a_name(before) else len(held)

    def _release(self, length: int) -> str:
        """Show ``length`` characters of what is held, secrets replaced, those that began in the context too."""
        if not length:
            return ""
        offset = len(self._context)
        text = self._context + self._held[:length]
        pieces: list[str] = []
        done = offset
        for start, end in sorted(find_credentials(text)):
            if end <= done:
                continue
            pieces += text[done : max(start, done)], REDACTED
            self.count += 1
            done = end
        shown = "".join([*pieces, text[done:]])
        self._context = text[-_CONTEXT:]
        self._held = self._held[length:]
        return shown
