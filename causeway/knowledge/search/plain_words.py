"""Filters said in plain words: ``only PDF files created last week``, ``in the HR folder``, ``by Dana since March``.

Rules, no model. A phrase becomes a filter only where it is said as one (of documents, or beside another that is), and
only with values that the asker's documents have: nothing is invented, and what is not understood stays a part of the
query. Each filter tells its words, so that a page shows it as a chip, and the asker can have them taken literally.

Wrongly filtering hides the answer, and not filtering only ranks it lower. So the rules give way in doubt:
"how do I export a PDF?", "which account was created last week?" and "designed by Dana" are questions about the world.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final

from causeway.knowledge.index.field_values import FieldValues
from causeway.knowledge.index.filters import EVERYTHING, Filter, Range, all_of, from_pairs
from causeway.knowledge.search.plain_dates import Days, read_days


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    """A filter that was read out of a query.

    Attributes:
        field: As `causeway.knowledge.index.filters.FIELDS` or metadata call it.
        value: Text, or a list of texts; of moments days such as ``2026-11-16..2026-11-22``.
        words: The part of the query that said so.
    """

    field: str
    value: str | Sequence[str]
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Understood:
    """A query as it was read.

    Attributes:
        query: What is left to look for; the whole when nothing is left.
        where: The filters of ``chips``.
    """

    query: str
    chips: tuple[Chip, ...] = ()
    where: Filter = EVERYTHING

    @property
    def filters(self) -> dict[str, object]:
        """Field -> value."""
        return {
            chip.field: chip.value if isinstance(chip.value, str) else list(chip.value) for chip in self.chips
        }


@dataclass(frozen=True, slots=True)
class _Clause:
    """A stretch of the query that may say a filter.

    Attributes:
        is_sure: It says one by itself; others do beside one that does.
        opens: Where the words that belong to it begin: ``documents`` in ``documents since March``.
    """

    field: str
    value: str | tuple[str, ...] | Days
    start: int
    end: int
    is_sure: bool


_NOUN = r"(?:documents?|docs?|files?|pages?|notes?|papers?|uploads?)"
_ANY_NOUN = rf"(?:{_NOUN}|anything|everything|something|items?|articles?|memos?)"
_TYPES: Final[Mapping[str, tuple[str, ...]]] = {
    "pdf": ("pdf",),
    "word": ("word", "docx"),
    "markdown": ("markdown",),
    "html": ("html", "web"),
    "csv": ("csv",),
    "plain": ("text", "txt"),
    "sheet": ("excel", "xlsx", "spreadsheet"),
    "presentation": ("powerpoint", "pptx", "slide", "presentation"),
    "rfc822": ("e-mail", "email", "mail"),
    "image": ("image", "picture", "photo", "scan"),
    "epub": ("epub", "e-book", "ebook"),
}
"""What a media type has in its name -> how people call it."""
_WORD_TYPES = sorted((name for names in _TYPES.values() for name in names), key=len, reverse=True)
_TYPE = rf"(?P<type>{'|'.join(map(re.escape, _WORD_TYPES))})"
_ITSELF_NOUNS = r"(?:spreadsheet|slide|presentation|e-mail|email|image|picture|photo|scan|e-book|ebook|pdf)s"
_TYPE_CLAUSE = re.compile(
    rf"\b(?P<lead>(?:only|just|in|from|within|among|find|show|list|search)(?:\s+(?:me|only|just|all|the|our|in))*\s+)?"
    rf"(?:(?P<plural>{_ITSELF_NOUNS})(?P<noun0>\s+{_NOUN})?|{_TYPE}s?(?P<noun>\s+{_NOUN})?)(?P<tail>\s+only)?(?![\w-])",
    re.IGNORECASE,
)
_FOLDER_CLAUSE = re.compile(
    r"\b(?:only\s+)?(?:in|from|inside|under|within|of)\s+(?:the\s+|our\s+|my\s+)?(?:"
    r"['\"\u201c]?(?P<before>[\w/&. -]{1,60}?)['\"\u201d]?\s+(?:folder|directory)"
    r"|(?:folder|directory)\s+['\"\u201c]?(?P<after>[\w/&.-]+(?:\s[\w/&.-]+){0,3}?)['\"\u201d]?(?=$|[\s,.?!])"
    r"|(?P<path>[\w.-]+(?:/[\w.-]+)+)/?)(?![\w/])",
    re.IGNORECASE,
)
_COLLECTION_CLAUSE = re.compile(
    r"\b(?:only\s+)?(?:in|from|inside|within)\s+(?:the\s+|our\s+)?(?:['\"\u201c]?(?P<before>[\w&. -]{1,60}?)['\"\u201d]?\s+collection"
    r"|collection\s+['\"\u201c]?(?P<after>[\w&.-]+)['\"\u201d]?)(?!\w)",
    re.IGNORECASE,
)
_TAG_CLAUSE = re.compile(
    r"(?:\btagged(?:\s+(?:with|as))?\s+|\bwith\s+(?:the\s+)?tag\s+|(?:^|(?<=\s))#)['\"\u201c]?(?P<tag>[\w&.-]+(?:\s[\w&.-]+){0,2})",
    re.IGNORECASE,
)
_AUTHOR_CLAUSE = re.compile(
    r"\b(?P<verb>(?:written|authored|drafted|prepared|uploaded|published|created|edited|made)\s+)?by\s+"
    r"(?P<name>[^\W\d_][\w.'\u2019-]*(?:\s+[^\W\d_][\w.'\u2019-]*){0,2})",
    re.IGNORECASE,
)
_LANGUAGES: Final = {
    "english": "en", "german": "de", "french": "fr", "spanish": "es", "italian": "it", "dutch": "nl",
    "portuguese": "pt", "polish": "pl", "swedish": "sv", "danish": "da", "finnish": "fi", "norwegian": "no",
    "czech": "cs", "turkish": "tr", "japanese": "ja", "chinese": "zh", "korean": "ko", "arabic": "ar",
}  # fmt: skip
_LANGUAGE = rf"(?P<language>{'|'.join(_LANGUAGES)})"
_LANGUAGE_CLAUSE = re.compile(
    rf"\b(?:only\s+(?:the\s+)?{_LANGUAGE}\s+{_NOUN}|(?P<sure>{_ANY_NOUN}\s+|written\s+|only\s+)in\s+{_LANGUAGE.replace('?P<language>', '?P<after>')})\b",
    re.IGNORECASE,
)
_DATE_STARTS = re.compile(
    r"\b(?:(?P<noun>" + _ANY_NOUN + r")\s+)?"
    r"(?P<verb>(?:that\s+were\s+|which\s+were\s+)?(?P<did>created|added|uploaded|written|published|modified|changed|updated|edited)\s+)?"
    r"(?=(?:in|on|from|of|during|dated|between|since|after|before|until|till|up|newer|older|last|past|the\s+(?:last|past)|this|today|yesterday)\b)",
    re.IGNORECASE,
)
_CREATED = frozenset({"created", "added", "uploaded"})
_COPULA = re.compile(
    r"\b(?:is|are|was|were|be|been|being|get|gets|got|has|have|had|not|who|i|we|they|he|she|it|you)\s*$",
    re.IGNORECASE,
)
_PARTICIPLE = re.compile(
    r"(?:\w{2,}ed|built|sold|made|run|led|given|said|told|sent|held|paid|done|meant|set|kept|found|taken|shown|driven|won)\s*$",
    re.IGNORECASE,
)
_GLUE = r"[\s,;]*(?:(?:and|that|which|are|were|is|was|about|on|with|the)\b[\s,;]*)*"


def fields_to_ask_for(query: str) -> frozenset[str]:
    """The fields of which a query may name a value, by its form alone; of most queries none, and nothing need be read."""
    return frozenset(name for name, has_form in _FORMS.items() if has_form(query))


def understand(
    query: str,
    values: FieldValues,
    now: datetime,
    *,
    literal: Collection[str] = (),
    given: Collection[str] = (),
) -> Understood:
    """Read the filters out of a query.

    Args:
        query: As it was asked.
        values: What the documents have that may be found.
        now: The asker's, in their time zone.
        literal: Words of earlier chips that are not to be read as filters.
        given: Fields that the asker filters by already.
    """
    untouchable = [
        found.span()
        for words in literal
        if words
        for found in re.finditer(re.escape(words), query, re.IGNORECASE)
    ]
    found = [
        clause
        for reader in _READERS
        for clause in reader(query, values, now.date())
        if clause.field not in given
        and not any(clause.start < end and start < clause.end for start, end in untouchable)
    ]
    kept = _those_that_are_said(query, _without_overlaps(found))
    chips = tuple(
        Chip(field=clause.field, value=_written(clause.value), words=query[clause.start : clause.end].strip())
        for clause in kept
    )
    where = all_of(*(_filter(clause, now) for clause in kept))
    return Understood(query=_rest(query, kept), chips=chips, where=where)


# --- which clauses count -----------------------------------------------------------------------------


def _without_overlaps(clauses: Sequence[_Clause]) -> list[_Clause]:
    """The longest of those that overlap, one of each field; by place."""
    kept: list[_Clause] = []
    for clause in sorted(clauses, key=lambda one: (not one.is_sure, one.start - one.end, one.start)):
        is_free = all(clause.end <= other.start or other.end <= clause.start for other in kept)
        if is_free and all(clause.field != other.field for other in kept):
            kept.append(clause)
    return sorted(kept, key=lambda one: one.start)


def _those_that_are_said(query: str, clauses: list[_Clause]) -> list[_Clause]:
    """Those that say a filter by themselves, and the others that stand right beside one."""
    said = {clause for clause in clauses if clause.is_sure}
    while more := {
        clause
        for clause in clauses
        if clause not in said and any(_is_beside(query, clause, other) for other in said)
    }:
        said |= more
    return [clause for clause in clauses if clause in said]


def _is_beside(query: str, one: _Clause, other: _Clause) -> bool:
    first, second = sorted((one, other), key=lambda clause: clause.start)
    return re.fullmatch(_GLUE, query[first.end : second.start], re.IGNORECASE) is not None


def _rest(query: str, clauses: Sequence[_Clause]) -> str:
    rest, at = "", 0
    for clause in clauses:
        rest += f"{query[at : clause.start]} "
        at = clause.end
    rest = " ".join(f"{rest}{query[at:]}".split()).strip(" ,;")
    bare = re.sub(
        rf"\b(?:only|just|find|show|list|me|all|the|and|about|on|in|from|with|that|which|are|were|{_ANY_NOUN})\b|\W",
        " ",
        rest,
        flags=re.IGNORECASE,
    )
    return rest if bare.strip() else query


# --- what each kind of clause says -------------------------------------------------------------------


def _types(query: str, values: FieldValues, _today: date) -> Iterator[_Clause]:
    for found in _TYPE_CLAUSE.finditer(query):
        said = (found["plural"] or found["type"]).lower().removesuffix("s")
        kind = next((kind for kind, names in _TYPES.items() if said in (*names, kind)), "")
        there = tuple(sorted(each for each in values.types if kind and _is_kind(each, kind)))
        has_noun = bool(found["plural"] or found["noun"])
        lead = (found["lead"] or "").split()
        is_only = (
            "only" in map(str.lower, lead) or "just" in map(str.lower, lead) or found["tail"] is not None
        )
        is_sure = is_only or (bool(lead) and has_noun)
        if there and (is_sure or has_noun):
            yield _Clause("type", _one_or_more(there), found.start(), found.end(), is_sure)


def _is_kind(media_type: str, kind: str) -> bool:
    return kind in media_type if kind != "plain" else media_type == "text/plain"


def _folders(query: str, values: FieldValues, _today: date) -> Iterator[_Clause]:
    for found in _FOLDER_CLAUSE.finditer(query):
        said = found["before"] or found["after"] or found["path"]
        wanted = _plain(said)
        there = [
            folder
            for folder in values.folders
            if wanted in (_plain(folder), _plain(folder.rpartition("/")[2]))
        ]
        outermost = tuple(
            sorted(each for each in there if not any(each.startswith(f"{other}/") for other in there))
        )
        if outermost:
            yield _Clause("folder", _one_or_more(outermost), found.start(), found.end(), is_sure=True)


def _collections(query: str, values: FieldValues, _today: date) -> Iterator[_Clause]:
    for found in _COLLECTION_CLAUSE.finditer(query):
        wanted = _plain(found["before"] or found["after"])
        there = tuple(sorted(each for each in values.collections if _plain(each) == wanted))
        if there:
            yield _Clause("collection", _one_or_more(there), found.start(), found.end(), is_sure=True)


def _tags(query: str, values: FieldValues, _today: date) -> Iterator[_Clause]:
    for found in _TAG_CLAUSE.finditer(query):
        for said, length in _beginnings(found["tag"]):
            there = tuple(sorted(each for each in values.tags if _plain(each) == _plain(said)))
            if there:
                end = found.start("tag") + length
                end += query[end : end + 1] in ("'", '"', "\u201d")
                yield _Clause("tags", _one_or_more(there), found.start(), end, is_sure=True)
                break


def _authors(query: str, values: FieldValues, today: date) -> Iterator[_Clause]:
    for found in _AUTHOR_CLAUSE.finditer(query):
        before = query[: found.start()]
        if _PARTICIPLE.search(before) or (found["verb"] and _COPULA.search(before)):
            continue
        for said, length in _beginnings(found["name"]):
            there = _called(said, values.authors)
            if there and not read_days(said, today):
                yield _Clause(
                    "author", _one_or_more(there), found.start(), found.start("name") + length, is_sure=True
                )
                break


def _beginnings(text: str) -> Iterator[tuple[str, int]]:
    """All words of a text, then all but the last, and so on; each with its length, marks at its end left out."""
    ends = [found.end() for found in re.finditer(r"\S+", text)]
    for end in reversed(ends):
        said = text[:end].rstrip(".,?!'\"\u201d")
        yield said, len(said)


def _called(name: str, authors: Collection[str]) -> tuple[str, ...]:
    """The authors of this whole name, else those that have it as a part of theirs."""
    wanted = name.casefold()
    whole = tuple(sorted(each for each in authors if each.casefold() == wanted))
    parts = tuple(sorted(each for each in authors if wanted in re.split(r"[\s,]+", each.casefold())))
    return whole or (parts if len(wanted) > 1 else ())


def _languages(query: str, values: FieldValues, _today: date) -> Iterator[_Clause]:
    for found in _LANGUAGE_CLAUSE.finditer(query):
        said = (found["language"] or found["after"]).lower()
        is_it = (said, _LANGUAGES[said])
        there = tuple(
            sorted(
                each
                for each in values.languages
                if each.casefold() in is_it or each.casefold().startswith(f"{is_it[1]}-")
            )
        )
        if there:
            yield _Clause("language", _one_or_more(there), found.start(), found.end(), is_sure=True)


def _dates(query: str, _values: FieldValues, today: date) -> Iterator[_Clause]:
    for found in _DATE_STARTS.finditer(query):
        read = read_days(query[found.end() :], today)
        if read is None:
            continue
        did = (found["did"] or "").lower()
        before = query[: found.start("did") if did else found.start()]
        if did and not (found["verb"].lower().startswith(("that", "which"))) and _COPULA.search(before):
            continue
        field = "created" if did in _CREATED else "modified"
        is_sure = found["noun"] is not None and not _COPULA.search(query[: found.start()])
        start = found.start("verb") if found["verb"] else found.end()
        yield _Clause(field, read[0], start, found.end() + read[1], is_sure)


_READERS: Final[tuple[Callable[[str, FieldValues, date], Iterator[_Clause]], ...]] = (
    _types,
    _folders,
    _collections,
    _tags,
    _authors,
    _languages,
    _dates,
)


_FORMS: Final[Mapping[str, Callable[[str], bool]]] = {
    "types": lambda query: any(
        found["noun"] or found["plural"] or found["lead"] or found["tail"]
        for found in _TYPE_CLAUSE.finditer(query)
    ),
    "folders": lambda query: _FOLDER_CLAUSE.search(query) is not None,
    "collections": lambda query: _COLLECTION_CLAUSE.search(query) is not None,
    "tags": lambda query: _TAG_CLAUSE.search(query) is not None,
    "authors": lambda query: _AUTHOR_CLAUSE.search(query) is not None,
    "languages": lambda query: _LANGUAGE_CLAUSE.search(query) is not None,
}


# --- values ------------------------------------------------------------------------------------------


def _one_or_more(values: tuple[str, ...]) -> str | tuple[str, ...]:
    return values[0] if len(values) == 1 else values


def _plain(name: str) -> str:
    """A name without what people leave out when they say it."""
    return re.sub(r"[\s_-]+", " ", name.strip(" /'\"")).casefold()


def _written(value: str | tuple[str, ...] | Days) -> str | Sequence[str]:
    return str(value) if isinstance(value, Days) else value


def _filter(clause: _Clause, now: datetime) -> Filter:
    value = clause.value
    if not isinstance(value, Days):
        return from_pairs({clause.field: value if isinstance(value, str) else list(value)})
    begin = datetime.combine(value.first, time.min, tzinfo=now.tzinfo) if value.first else None
    end = (
        datetime.combine(value.last + timedelta(days=1), time.min, tzinfo=now.tzinfo) if value.last else None
    )
    return Range(clause.field, begin, end)
