"""Facets and mistyped words, through the search."""

from __future__ import annotations

import pytest

from causeway.contracts.identity import Principal, Scope, viewer_names
from causeway.contracts.model_gateway import Call
from causeway.errors import InvalidInputError
from causeway.gateway.audit import record
from causeway.knowledge.access import AccessRules
from causeway.knowledge.index.postgres_index import PostgresIndex
from causeway.knowledge.index.spelling import is_one_edit
from causeway.knowledge.search.request import SearchRequest
from causeway.knowledge.search.search import Search
from causeway.storage.database import Database
from causeway.testing.documents import Sheet, SheetPile

READER = Call(
    principal=Principal(
        id="usr_ann",
        name="Ann",
        scopes=frozenset({Scope.ASK}),
        user="usr_ann",
        sees_as=viewer_names("usr_ann", ()),
    ),
    purpose="test",
)


def sheets() -> list[Sheet]:
    return [
        Sheet(
            id=f"doc_{n}",
            path=f"{'hr/leave' if n < 2 else 'shop'}/{n}.md",
            media_type="text/markdown" if n % 2 else "application/pdf",
            texts=(f"Tents may be returned to shop {n}.", f"A stove of shop {n} may be returned as well."),
            metadata={"author": "Dana" if n else "Ben", "tags": ["returns", f"shop-{n}"], "final": n == 0},
        )
        for n in range(3)
    ]


async def test_facets_count_documents_and_not_passages(search: Search, pile: SheetPile, call: Call) -> None:
    await pile.add(*sheets())
    asked = ("type", "folder", "author", "tags", "final", "collection", "modified", "nothing")
    found = await search.search(SearchRequest(query="returned", top_k=1, facets=asked), call)
    counts = {field: {each.value: each.count for each in values} for field, values in found.facets.items()}
    assert counts["type"] == {"application/pdf": 2, "text/markdown": 1}
    assert counts["folder"] == {"hr": 2, "hr/leave": 2, "shop": 1}
    assert counts["author"] == {"Dana": 2, "Ben": 1}
    assert counts["tags"] == {"returns": 3, "shop-0": 1, "shop-1": 1, "shop-2": 1}
    assert counts["final"] == {"false": 2, "true": 1}
    assert counts["collection"] == {"default": 3}
    assert counts["modified"] == {"2026-01-01..2026-12-31": 3}
    assert counts["nothing"] == {}
    for field, values in counts.items():
        for value, count in values.items():
            again = await search.search(SearchRequest(query="returned", filters={field: value}), call)
            assert len({hit.document_id for hit in again.hits}) == count, (field, value)


async def test_facets_count_only_what_the_caller_sees(search: Search, pile: SheetPile) -> None:
    await pile.add(*sheets())  # nobody made a rule for them, so nobody but who sees everything sees them
    found = await search.search(SearchRequest(query="returned", facets=("author",)), READER)
    assert sum(each.count for each in found.facets["author"]) == len({hit.document_id for hit in found.hits})


@pytest.mark.parametrize("facets", [("",), ("x" * 101,), tuple(f"f{n}" for n in range(13))])
async def test_facets_that_cannot_be_counted_are_refused(
    search: Search, call: Call, facets: tuple[str, ...]
) -> None:
    with pytest.raises(InvalidInputError):
        await search.search(SearchRequest(query="returned", facets=facets), call)


@pytest.mark.parametrize("query", ["retrned tents", "returned tetns", "stovve"])
async def test_a_mistyped_word_finds_by_keywords_what_was_meant(
    pile: SheetPile, index: PostgresIndex, query: str
) -> None:
    await pile.add(*sheets())
    found = await index.lexical(query, 10)
    assert found


@pytest.mark.parametrize(
    ("query", "mended"),
    [
        ("retrned tents", [{"written": "retrned", "read": "returned"}]),
        ("returned tents", []),
        ("returns of a tent", []),
        ("E-4018", []),
    ],
)
async def test_it_is_told_which_words_were_read_as_others(
    search: Search, pile: SheetPile, call: Call, query: str, mended: list[dict[str, str]]
) -> None:
    await pile.add(*sheets())
    found = await search.search(SearchRequest(query=query), call)
    assert found.understood["mended"] == mended


async def test_a_word_of_a_hidden_document_is_told_as_mended_like_one_that_nobody_has(
    search: Search, pile: SheetPile, database: Database
) -> None:
    await pile.add(
        Sheet(id="doc_a", texts=("The filter was replaced.",)),
        Sheet(id="doc_b", texts=("The filler was replaced.",)),
    )
    rules = AccessRules(database, record)
    await rules.allow_document("doc_a", ["user:usr_ann"])
    await rules.allow_document("doc_b", [])
    hidden = await search.search(SearchRequest(query="filler"), READER)
    unknown = await search.search(SearchRequest(query="filtar"), READER)
    assert hidden.understood["mended"] == [{"written": "filler", "read": "filter"}]
    assert unknown.understood["mended"] == [{"written": "filtar", "read": "filter"}]


async def test_a_word_that_is_there_and_a_code_are_never_mended(
    pile: SheetPile, index: PostgresIndex
) -> None:
    await pile.add(
        Sheet(id="doc_a", texts=("The filler was replaced.",)),
        Sheet(id="doc_b", texts=("The filter was replaced; error E-4017.",)),
    )
    found = await index.lexical("filler", 10)
    assert [match.chunk_id.split("_")[1] for match in found] == ["a"]
    assert await index.lexical("E4018", 10) == []


def test_one_edit_is_one_letter_or_two_that_are_swapped() -> None:
    assert all(is_one_edit("tents", other) for other in ("tent", "tenst", "tants", "tentss", "ents"))
    assert not any(is_one_edit("tents", other) for other in ("tents", "tnets2", "ten", "stent", "tenss1"))
