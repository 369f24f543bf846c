"""The search page: hits with what was read out of the query, filters as chips, and values to narrow by with their counts.

Everything is in the address, so that a search can be sent to somebody, and works without scripts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from markupsafe import Markup, escape
from starlette.responses import Response

from causeway.errors import InvalidInputError
from causeway.knowledge import Hit, SearchRequest, SearchResult
from causeway.web.ask_api import MAX_QUESTION_CHARS, call_of
from causeway.web.cited_revision import passage_link
from causeway.web.rendering import file_kind, link, page
from causeway.web.sign_in import Asker, Parts

router = APIRouter(include_in_schema=False)

FACETS: Final[Mapping[str, str]] = {
    "collection": "Collection",
    "type": "Type",
    "folder": "Folder",
    "author": "Author",
    "language": "Language",
    "modified": "Changed in",
}
"""Fields that may be narrowed by, and what they are called."""
_OTHER_FIELDS: Final[Mapping[str, str]] = {
    "created": "Added",
    "source": "Source",
    "tags": "Tag",
    "path": "File",
    "title": "Title",
}
_MOST_HITS: Final = 20
_MOST_FILTERS: Final = 20
_MOST_SHOWN: Final = 8
_LONGEST_TEXT: Final = 360
_BEFORE_MARK: Final = 90
_WORD: Final = re.compile(r"[^\W_]{3,}")
_EMPHASIS: Final = re.compile(r"[*`]+")
_MARKDOWN: Final = re.compile(r"[#|>]+|\s-{3,}\s|\s+")
_BOOSTS: Final[Mapping[str, str]] = {"recency": "newer", "authority": "marked as the one to go by"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    """A filter that is on; ``without`` is the address of the search without it."""

    label: str
    value: str
    without: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A value to narrow by: how many documents have it, and the address of the search with it."""

    value: str
    count: int
    address: str


@dataclass(frozen=True, slots=True)
class _Asked:
    """A search as its address has it."""

    request: Request
    q: str
    collection: str
    filters: tuple[tuple[str, str], ...]
    literal: tuple[str, ...]

    def address(
        self,
        *,
        filters: Sequence[tuple[str, str]] | None = None,
        literal: Sequence[str] | None = None,
    ) -> str:
        """Of this search, with other filters or literal words."""
        pairs = [
            ("q", self.q),
            ("collection", self.collection),
            *(("f", f"{field}:{value}") for field, value in (self.filters if filters is None else filters)),
            *(("literal", words) for words in (self.literal if literal is None else literal)),
        ]
        return f"{link(self.request, 'search')}?{urlencode([pair for pair in pairs if pair[1]])}"

    @property
    def by_field(self) -> Mapping[str, object]:
        """The filters as a search takes them: several values of a field are a list."""
        found: dict[str, list[str]] = {}
        for field, value in self.filters:
            found.setdefault(field, []).append(value)
        return {field: values[0] if len(values) == 1 else values for field, values in found.items()}


@router.get("/search", name="search")
async def show(
    request: Request,
    parts: Parts,
    asker: Asker,
    q: Annotated[str, Query(max_length=MAX_QUESTION_CHARS)] = "",
    collection: Annotated[str, Query(max_length=200)] = "",
    f: Annotated[list[str] | None, Query(max_length=_MOST_FILTERS)] = None,
    literal: Annotated[list[str] | None, Query(max_length=_MOST_FILTERS)] = None,
) -> Response:
    """Passages for ``q``; each ``f`` is a filter such as ``folder:policies``."""
    asked = _Asked(request, q.strip(), collection, tuple(_filters(f or ())), tuple(literal or ()))
    known = [each.name for each in await parts.library.seen_by(asker).collections() if each.ready]
    values: dict[str, Any] = {
        "asked": asked,
        "collections": known,
        "found": None,
        "max_chars": MAX_QUESTION_CHARS,
    }
    if asked.q:
        wanted = SearchRequest(
            query=asked.q,
            collection=collection or None,
            filters=asked.by_field,
            top_k=_MOST_HITS,
            literal=asked.literal,
            facets=tuple(FACETS),
        )
        found = await parts.search.search(wanted, call_of(asker, "search"))
        values |= {"found": found, **_shown(request, asked, found)}
    return page(request, "search.html", values)


def _filters(given: Sequence[str]) -> Iterator[tuple[str, str]]:
    for one in dict.fromkeys(given):
        field, colon, value = one.partition(":")
        if not (colon and field.strip() and value.strip()) or len(one) > 400:
            raise InvalidInputError(f"'{one[:60]}' is no filter; write it like folder:policies")
        yield field.strip(), value.strip()


def _shown(request: Request, asked: _Asked, found: SearchResult) -> dict[str, Any]:
    words = _marked_words(found)
    boosts = sorted({name for hit in found.hits for name in hit.boosts})
    return {
        "chips": [*_read_chips(asked, found), *_given_chips(asked)],
        "facets": [
            (FACETS[field], choices) for field in FACETS if (choices := _choices(asked, found, field))
        ],
        "cards": [
            (hit, passage_link(request, hit), _excerpt(hit.text, words), _boosts(hit)) for hit in found.hits
        ],
        "mended": found.understood.get("mended") or [],
        "boosts": " and ".join(_BOOSTS.get(name, name) for name in boosts),
    }


def _read_chips(asked: _Asked, found: SearchResult) -> Iterator[Chip]:
    """Filters that the query's own words say."""
    chips = found.understood.get("chips")
    for chip in chips if isinstance(chips, list) else ():
        yield Chip(
            label=_label(chip["field"]),
            value=_spoken(chip["field"], chip["value"]),
            without=asked.address(literal=[*asked.literal, chip["words"]]),
        )


def _given_chips(asked: _Asked) -> Iterator[Chip]:
    for one in asked.filters:
        rest = [each for each in asked.filters if each != one]
        yield Chip(label=_label(one[0]), value=_spoken(*one), without=asked.address(filters=rest))


def _choices(asked: _Asked, found: SearchResult, field: str) -> list[Choice]:
    """Values that would leave something out; a single one that everything has would not."""
    counted = [one for one in found.facets.get(field, ()) if (field, one.value) not in asked.filters]
    if len(counted) < 2 and not any(each == field for each, _ in asked.filters):
        return []
    return [
        Choice(
            value=_spoken(field, one.value),
            count=one.count,
            address=asked.address(filters=[*asked.filters, (field, one.value)]),
        )
        for one in counted[:_MOST_SHOWN]
    ]


def _label(field: str) -> str:
    return FACETS.get(field) or _OTHER_FIELDS.get(field) or field.replace("_", " ").capitalize()


def _spoken(field: str, value: object) -> str:
    """A filter's value as people say it."""
    said = [_spoken_one(field, str(one)) for one in (value if isinstance(value, list) else [value])]
    return " or ".join(dict.fromkeys(said))


def _spoken_one(field: str, value: str) -> str:
    if field == "type":
        return file_kind(value) if "/" in value else value.upper()
    if year := re.fullmatch(r"(\d{4})-01-01\.\.\1-12-31", value):
        return year[1]
    return value.replace("..", " \N{EN DASH} ").strip()


def _marked_words(found: SearchResult) -> re.Pattern[str] | None:
    """Words of the query, whatever their ending, and those that stand for misspelt ones."""
    said = str(found.understood.get("query") or "")
    mended = found.understood.get("mended")
    said = " ".join([said, *(one["read"] for one in (mended if isinstance(mended, list) else ()))])
    stems = {word[: max(4, len(word) - 2)] if len(word) > 4 else word for word in _WORD.findall(said)}
    if not stems:
        return None
    longest_first = sorted(stems, key=lambda stem: (-len(stem), stem))
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, longest_first))})\w*", re.IGNORECASE)


def _excerpt(text: str, words: re.Pattern[str] | None) -> Markup:
    """A stretch of a passage around the first word of the query, with all of them marked."""
    plain = " ".join(_MARKDOWN.sub(" ", _EMPHASIS.sub("", text)).split())
    first = words.search(plain) if words else None
    begin = max(0, (first.start() if first else 0) - _BEFORE_MARK)
    if begin:
        begin = plain.find(" ", begin) + 1
    shown, is_cut = plain[begin : begin + _LONGEST_TEXT], begin + _LONGEST_TEXT < len(plain)
    shown = shown.rpartition(" ")[0] or shown if is_cut else shown
    pieces: list[str] = ["\N{HORIZONTAL ELLIPSIS} " if begin else ""]
    at = 0
    for match in words.finditer(shown) if words else ():
        pieces += [escape(shown[at : match.start()]), Markup("<mark>{}</mark>").format(match[0])]
        at = match.end()
    pieces += [escape(shown[at:]), "\N{HORIZONTAL ELLIPSIS}" if is_cut else ""]
    return Markup("").join(pieces)


def _boosts(hit: Hit) -> str:
    return " and ".join(
        f"+{share:.0%} {_BOOSTS.get(name, name)}" for name, share in sorted(hit.boosts.items(), reverse=True)
    )
