"""A question read for what it asks: its kind, and the words that a reply would depend on.

Two questions are compared by their wordings (`causeway.gateway.differences`). Quoted text, code, addresses, identifiers and
placeholders are kept letter by letter; of other words only the form and the politeness around them are taken away.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from causeway.gateway.lexicon import Lexicon

MOST_CHARACTERS = 400
"""Longer texts are documents more than questions; nobody can say what in them does not matter."""

_QUOTES = (
    r"\"[^\"\n]{1,400}\"|“[^”]{1,400}”|«[^»]{1,400}»|„[^“”]{1,400}[“”]|(?<!\w)'[^'\n]{2,400}'(?!\w)"
    r"|(?<!\w)\u2018[^\u2019]{2,400}\u2019(?!\w)"
)
_MARK = "\ue000"
"""Stands around the number of a verbatim piece; a private character, taken out of what is read."""
_VERBATIM = re.compile(
    rf"```.*?```|`[^`\n]+`|{_QUOTES}"
    r"|\[[A-Z][A-Z_]*_\d+\]"  # a placeholder of the guard
    r"|https?://\S+|[\w.+-]+@[\w-]+\.[\w.]+"
    r"|(?<!\w)(?=[\w./\\#-]*[A-Za-z_])(?=[\w./\\#-]*[\d_\\])[A-Za-z0-9_/\\][\w./\\#-]*[\w#]"  # E-4017, foo_bar
    r"|(?<!\w)[a-z]+[A-Z]\w*|\w+\(\)"  # camelCase, call()
    r"|(?<!\w)(?:[A-Za-z]\+\+|[CFcf]#|\.[A-Za-z]+|\w+\.(?:js|py|md|net|com|org|io))(?!\w)",
    re.DOTALL,
)
_UNITS = "km|m|cm|mm|mi|ft|in|kg|g|mg|lb|lbs|oz|l|ml|h|hr|hrs|min|mins|s|sec|ms|kb|mb|gb|tb|am|pm|k|c|f|mph|kph|kmh|v|w|kw|kwh|x"
_MEASURE = re.compile(rf"(?<![\w.])(\d+(?:[.,]\d+)*)\s?({_UNITS})(?!\w)", re.IGNORECASE)
_ORDINAL = re.compile(r"(?<![\w.])(\d+)(?:st|nd|rd|th)\b")
_COMPOUND = re.compile(r"(?<![\w-])(\d+)-(?=[A-Za-z]{3,})")
_PRICE = re.compile(r"([$€£])\s?(\d[\d.,]*)")
_SYMBOLS = {"$": "usd", "€": "eur", "£": "gbp", "%": "percent", "°": "degrees", "&": "and", "\u2019": "'"}
_INSIDE_A_SENTENCE = re.compile(r"(?<![.?!:]\s)\b[^\W\d_]+")
_TOKEN = re.compile(
    rf"{_MARK}\d+{_MARK}|[^\W\d_]+(?:'[^\W\d_]+)?|\d+(?:[.,:]\d+)*|(?<=[\d\s)])[-+*/=<>^](?=[\s\d(])|[≤≥≠\u00d7÷\u2212]"
    r"|[^\w\s\x00-\x7f¿¡…“”„«»\u2013—·\u2018\u2019]"  # a symbol, such as a currency's or an emoji
)
_CONTRACTIONS = (
    (r"\bcan't\b|\bcannot\b|\bcant\b", "can not"),
    (r"\bwon't\b|\bwont\b", "does not"),
    (r"\bshan't\b", "shall not"),
    (r"n't\b", " not"),
    (r"\b(do|does|did|is|are|was|were|could|should|would|has|have|had)nt\b", r"\1 not"),
    (r"\b(what|who|where|when|how|why|it|that|there|here|he|she)'s\b|\b(what|where|how)s\b", r"\1\2 is"),
    (r"\blet's\b", "let us"),
    (r"'re\b", " are"),
    (r"'ll\b", " will"),
    (r"'ve\b", " have"),
    (r"\bi'm\b", "i am"),
    (r"'d\b", " would"),
    (r"(?<=\d) (a|p)\.?m\b\.?", r" \1mclock"),
    (r"'s\b|(?<=s)'(?= |$)", ""),
)
_CONTRACTED = tuple((re.compile(pattern), full) for pattern, full in _CONTRACTIONS)
_IN_CAPITALS = {"US": "usa", "UK": "uk", "EU": "eu", "WHO": "whoorganization", "IT": "itdepartment"}
_TENSES = dict.fromkeys(("was", "were", "did", "had", "been"), "past")
_TENSES |= dict.fromkeys(("is", "are", "am", "do", "does", "has"), "present")
_TENSES |= dict.fromkeys(("will", "shall", "going"), "future")
_TENSES |= {"@was": "past", "@will": "future"}
_PERSONS = dict.fromkeys(["i", "me", "my", "mine", "myself", "we", "us", "our", "ours"], "me")
_PERSONS |= dict.fromkeys(["you", "your", "yours", "yourself", "u", "ur"], "you")
_PREPOSITIONS = frozenset(
    ["from", "to", "into", "for", "by", "about", "of", "in", "on", "with", "at", "than"]
)
_AS_TO = {"into": "to"}
BE = frozenset(["is", "are", "was", "were", "be", "been", "being", "am", "get", "got"])
_MODALS = {
    "can": "can", "could": "can", "may": "can", "might": "can", "should": "should", "must": "must", "will": "will",
    "would": "will", "was": "was", "were": "was", "did": "was", "had": "was", "is": "is", "are": "is", "am": "is",
    "do": "is", "does": "is", "has": "is", "have": "is",
}  # fmt: skip


_GRAINS = frozenset(["@date", "@year", "@day", "@month", "@century", "@time"])
_INSIDE = frozenset(["@what", "@when", "@where", "@who", "@is", "@was", "@tell", "@do"])
"""Kinds that ask nothing in the middle of a question: "what to do when it rains"."""


@dataclass(frozen=True, slots=True)
class Bond:
    """A number and the words that it stands between; empty where that word says nothing by itself."""

    number: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Wording:
    """What a question asks.

    Attributes:
        kind: ``@how``, ``@what``, ``@can`` ...; empty for a request or a statement.
        grain: Of a "when": ``@year``, ``@date`` ...
        words: What a reply would depend on, in order: lemmas, numbers, verbatim pieces.
        exact: Those of ``words`` that no synonym may stand for: names and verbatim pieces.
        numbers: Numbers in order.
        tense: What its auxiliaries say of time: ``past``, ``present``, ``future`` or nothing.
        persons: Whether it speaks of ``me`` who asks, and of ``you`` who answers.
        leading: A word -> the preposition in front of it.
        forms: A word -> as it was written.
        little: The words that are left out of ``words``.
    """

    kind: str
    grain: str
    words: tuple[str, ...]
    exact: frozenset[str]
    numbers: tuple[Bond, ...]
    tense: str
    persons: frozenset[str]
    leading: Mapping[str, str]
    forms: Mapping[str, str]
    little: frozenset[str]


def read(text: str, lexicon: Lexicon) -> Wording:
    """The wording of ``text``, of at most `MOST_CHARACTERS`."""
    verbatim: list[str] = []

    def set_aside(found: re.Match[str]) -> str:
        verbatim.append(found[0])
        return f" {_MARK}{len(verbatim) - 1}{_MARK} "

    text = unicodedata.normalize("NFC", text).replace(_MARK, "").replace("\u2019", "'")
    for pattern, apart in ((_PRICE, r"\2 \1"), (_ORDINAL, r"\1"), (_COMPOUND, r"\1 "), (_MEASURE, r"\1 \2")):
        text = pattern.sub(apart, text)
    text = _VERBATIM.sub(set_aside, text)
    for symbol, word in _SYMBOLS.items():
        text = text.replace(symbol, f" {word} ")
    names = _names(text, lexicon)
    plain = _written_out(text)
    tokens = _TOKEN.findall(plain)
    is_foreign = _is_foreign(tokens, lexicon)
    rewritten = tokens if is_foreign else lexicon.rewritten(" ".join(tokens)).split()
    kind = "" if is_foreign else _kind(rewritten, is_asked=text.rstrip().endswith("?"))
    words, little = _sorted(rewritten, kind, lexicon.foreign if is_foreign else lexicon.dropped)
    lemmas = {word: _lemma(word, verbatim, lexicon, is_foreign=is_foreign) for word in words if word}
    said = tuple(lemmas[word] for word in words if word)
    return Wording(
        kind=kind,
        grain=next((token for token in rewritten if token in _GRAINS), ""),
        words=said,
        exact=frozenset(lemmas[word] for word in words if word.startswith(_MARK)) | names.intersection(said),
        numbers=tuple(_bonds(words, lemmas, lexicon)),
        tense=_tense(rewritten),
        persons=frozenset(_PERSONS[token] for token in rewritten if token in _PERSONS),
        leading=_leading(rewritten, lemmas),
        forms={lemma: word for word, lemma in lemmas.items()},
        little=little | BE.intersection(tokens),
    )


def _kind(rewritten: list[str], *, is_asked: bool) -> str:
    if rewritten and rewritten[0].startswith("@"):
        return "" if rewritten[0] == "@do" else rewritten[0]
    if not is_asked or rewritten[:1] == ["@do"]:  # a "which" inside a request asks nothing
        return ""
    asked = [token for token in rewritten if token.startswith("@") and token not in _GRAINS]
    return next(iter(asked), None) or next(
        (f"@{_MODALS[token]}" for token in rewritten if token in _MODALS), ""
    )


def _written_out(text: str) -> str:
    for word, meant in _IN_CAPITALS.items():
        if not text.isupper():
            text = re.sub(rf"\b{word}\b", meant, text)
    text = text.lower()
    for pattern, full in _CONTRACTED:
        text = pattern.sub(full, text)
    return text


def _names(text: str, lexicon: Lexicon) -> frozenset[str]:
    """Lemmas of the words with a capital inside a sentence; none when capitals are everywhere."""
    inside = [found[0] for found in _INSIDE_A_SENTENCE.finditer(text.strip()) if found.start() > 0]
    capitals = [word for word in inside if word[0].isupper() and word != "I"]
    if len(capitals) > max(2, 0.6 * len(inside)):
        return frozenset()
    return frozenset(lexicon.lemma(word.lower()) for word in capitals)


def _is_foreign(tokens: list[str], lexicon: Lexicon) -> bool:
    foreign = sum(token in lexicon.only_foreign for token in tokens)
    english = sum(token in lexicon.only_english for token in tokens)
    return foreign > english or not any(token.isascii() for token in tokens)


def _sorted(tokens: list[str], kind: str, dropped: frozenset[str]) -> tuple[list[str], frozenset[str]]:
    """The tokens with an empty one for each that says nothing by itself, and those."""
    is_little = [
        token == kind or token in _INSIDE or token in _GRAINS or token in dropped for token in tokens
    ]
    words = ["" if little else token for token, little in zip(tokens, is_little, strict=True)]
    return words, frozenset(token for token, little in zip(tokens, is_little, strict=True) if little)


def _lemma(word: str, verbatim: list[str], lexicon: Lexicon, *, is_foreign: bool) -> str:
    if word.startswith(_MARK):
        return _unquoted(verbatim[int(word.strip(_MARK))])
    if word[0].isdigit() or word in lexicon.numbers:
        return lexicon.numbers.get(word) or _number(word)
    return word if is_foreign else lexicon.lemma(word)


def _leading(tokens: list[str], lemmas: Mapping[str, str]) -> dict[str, str]:
    """Each word with the preposition in front of it, and of the words that follow it at once."""
    leading: dict[str, str] = {}
    preposition, is_led = "", False
    for token in tokens:
        if token in lemmas:
            leading.setdefault(lemmas[token], preposition)
            is_led = True
        elif token in _PREPOSITIONS:
            preposition, is_led = _AS_TO.get(token, token), False
        elif is_led:
            preposition, is_led = "", False
    return leading


def _bonds(words: list[str], lemmas: Mapping[str, str], lexicon: Lexicon) -> Iterator[Bond]:
    around = ["", *words, ""]
    for before, word, after in zip(around, words, around[2:], strict=False):
        if word and (word[0].isdigit() or word in lexicon.numbers):
            yield Bond(lemmas[word], lemmas.get(before, ""), lemmas.get(after, ""))


def _tense(tokens: list[str]) -> str:
    said = {_TENSES[token] for token in tokens if token in _TENSES}
    return next((tense for tense in ("future", "past", "present") if tense in said), "")


def _unquoted(piece: str) -> str:
    """A verbatim piece; a single word in quotes is that word."""
    inside = piece.strip("\"'“”„«»\u2018\u2019 ")
    return inside.lower() if inside.isalpha() and piece[0] != "`" else piece


def _number(token: str) -> str:
    digits = re.sub(r",(?=\d{3}(?!\d))", "", token)
    return re.sub(r"\.0+$", "", digits)
