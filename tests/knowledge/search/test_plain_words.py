"""Filters said in plain words: what is read as one, and what is not, over a collection with values of its own.

The asker's day is Friday, 27 November 2026.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from causeway.knowledge.index.field_values import FieldValues
from causeway.knowledge.index.filters import Range
from causeway.knowledge.search.plain_dates import read_days
from causeway.knowledge.search.plain_words import fields_to_ask_for, understand

NOW = datetime(2026, 11, 27, 15, 30, tzinfo=UTC)
PDF = "application/pdf"
WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
SHEET = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
VALUES = FieldValues(
    types=frozenset({PDF, WORD, SHEET, "text/markdown", "text/plain", "message/rfc822"}),
    folders=frozenset(
        {"hr", "hr/policies", "finance", "finance/2026", "field-guides", "archive", "archive/hr"}
    ),
    authors=frozenset({"Dana Reyes", "Ben Okafor", "Dana Lee", "May", "Müller, Anna"}),
    tags=frozenset({"urgent", "budget 2026", "draft"}),
    languages=frozenset({"en", "de"}),
    collections=frozenset({"handbook", "shop docs"}),
)
DANAS = ["Dana Lee", "Dana Reyes"]
HRS = ["archive/hr", "hr"]

SAID: list[tuple[str, dict[str, object]]] = [
    # types
    ("only PDF files created last week", {"type": PDF, "created": "2026-11-16..2026-11-22"}),
    ("only PDFs about tents", {"type": PDF}),
    ("tents, only pdf", {"type": PDF}),
    ("tents PDF only", {"type": PDF}),
    ("search in PDF files for the warranty", {"type": PDF}),
    ("show me all Word documents", {"type": WORD}),
    ("list the spreadsheets", {"type": SHEET}),
    ("only markdown notes on tents", {"type": "text/markdown"}),
    ("only e-mails about the delay", {"type": "message/rfc822"}),
    ("find emails from last month", {"type": "message/rfc822", "modified": "2026-10-01..2026-10-31"}),
    ("Excel files in the finance folder", {"type": SHEET, "folder": "finance"}),
    ("only text files", {"type": "text/plain"}),
    # folders
    ("holiday rules in the HR folder", {"folder": HRS}),
    ("in the HR policies folder", {}),
    ("in the folder policies", {"folder": "hr/policies"}),
    ("sick leave in hr/policies", {"folder": "hr/policies"}),
    ("knots from the field guides folder", {"folder": "field-guides"}),
    ("travel costs in our finance directory", {"folder": "finance"}),
    ("travel costs in the folder 'finance'", {"folder": "finance"}),
    ("only in the finance folder: travel", {"folder": "finance"}),
    ("budget in the 2026 folder", {"folder": "finance/2026"}),
    # authors
    ("by Dana since March", {"author": DANAS, "modified": "2026-03-01.."}),
    ("returns policy by Ben Okafor", {"author": "Ben Okafor"}),
    ("documents by dana reyes about stoves", {"author": "Dana Reyes"}),
    ("written by Ben", {"author": "Ben Okafor"}),
    ("stove safety, by Ben.", {"author": "Ben Okafor"}),
    ("notes by Anna", {"author": "Müller, Anna"}),
    ("PDF files by Dana Lee", {"type": PDF, "author": "Dana Lee"}),
    ("by Ben in the HR folder", {"author": "Ben Okafor", "folder": HRS}),
    # tags
    ("tagged urgent", {"tags": "urgent"}),
    ("anything tagged with 'budget 2026'", {"tags": "budget 2026"}),
    ("travel with the tag draft", {"tags": "draft"}),
    ("travel #urgent", {"tags": "urgent"}),
    ("tagged as draft by Ben", {"tags": "draft", "author": "Ben Okafor"}),
    # languages
    ("only German documents", {"language": "de"}),
    ("documents in German about tents", {"language": "de"}),
    ("warranty, written in English", {"language": "en"}),
    # collections
    ("returns in the handbook collection", {"collection": "handbook"}),
    ("in the shop docs collection", {"collection": "shop docs"}),
    # days
    ("documents since March", {"modified": "2026-03-01.."}),
    ("files from last week", {"modified": "2026-11-16..2026-11-22"}),
    ("notes from 2025", {"modified": "2025-01-01..2025-12-31"}),
    ("documents from yesterday", {"modified": "2026-11-26"}),
    ("files changed today", {"modified": "2026-11-27"}),
    ("pages updated this month", {"modified": "2026-11-01..2026-11-30"}),
    ("documents uploaded in the last 7 days", {"created": "2026-11-21..2026-11-27"}),
    ("files added in the past two weeks", {"created": "2026-11-14..2026-11-27"}),
    ("documents modified before 2026-06-01", {"modified": "..2026-05-31"}),
    ("documents modified after 3 March 2026", {"modified": "2026-03-04.."}),
    ("documents between 1 March and 15 April", {"modified": "2026-03-01..2026-04-15"}),
    ("documents created from January to March 2026", {"created": "2026-01-01..2026-03-31"}),
    ("files edited until June", {"modified": "..2026-06-30"}),
    ("documents from Q3 2026", {"modified": "2026-07-01..2026-09-30"}),
    ("documents from last quarter", {"modified": "2026-07-01..2026-09-30"}),
    ("documents in December", {"modified": "2025-12-01..2025-12-31"}),
    ("documents created on March 3rd, 2026", {"created": "2026-03-03"}),
    ("documents since Monday", {"modified": "2026-11-23.."}),
    ("documents from last Friday", {"modified": "2026-11-20"}),
    ("anything that was changed last year", {}),
    ("documents that were created last week", {"created": "2026-11-16..2026-11-22"}),
    ("tents, only PDF files, by Ben, since March", {"type": PDF, "author": "Ben Okafor", "modified": "2026-03-01.."}),
    ("only PDF files in the HR folder by Dana Reyes updated since 2026-01-01",
     {"type": PDF, "folder": HRS, "author": "Dana Reyes", "modified": "2026-01-01.."}),
]  # fmt: skip

NOT_SAID: list[str] = [
    # values that are not there
    "only CSV files",
    "in the legal folder",
    "in the folder nothing",
    "by Maria since March",
    "tagged important",
    "#17 on the list",
    "only French documents",
    "in the archive collection",
    "only PowerPoint slides",
    "in src/main/java",
    # the world, not the documents
    "How do I export a PDF?",
    "Does the scanner make PDF files?",
    "Can customers send us emails after the return window?",
    "Which accounts were created last week?",
    "What has changed since March?",
    "What was updated yesterday in the store?",
    "Who was hired in 2025?",
    "How many tents were sold between March and June?",
    "The tent was designed by Dana Reyes",
    "orders approved by Ben",
    "a letter that is written by Ben",
    "Must returns arrive by Monday?",
    "pay by invoice",
    "due by May",
    "How do I say hello in German?",
    "Is the manual in English?",
    "What is in the box?",
    "Where is the first aid kit?",
    "return within 45 days",
    "How long is the warranty since 2024 models?",
    "only members may vote",
    "just a moment",
    "the last 3 digits of the part number",
    "E-4017 since the update",
    "between 10 and 20 litres",
    "meeting on 3/4/2025",
    "tagged bags at the airport",
    "this week's special offer",
    "today's opening hours",
    "tent from last season",
    "",
    "pdf",
    "folder",
    "by",
    "only",
    "in the in the in the folder folder",
]

AMBIGUOUS: list[tuple[str, dict[str, object]]] = [
    # a month that is also somebody's name is a month
    ("notes by May", {}),
    # the type alone is a subject, beside another filter it is one
    ("PDF files and how they print", {}),
    ("PDF files by Ben and how they print", {"type": PDF, "author": "Ben Okafor"}),
    # a first name that two people have means either
    ("notes by Dana", {"author": DANAS}),
    # a date beside nothing that is of documents is a part of the question
    ("sales since March", {}),
    ("sales since March, only PDF", {"modified": "2026-03-01..", "type": PDF}),
    # two of a kind: the first that is said
    ("files from March or files from May", {"modified": "2026-03-01..2026-03-31"}),
    # a day that is none
    ("documents since 31 February", {}),
    ("documents from 2026-13-01", {}),
]


@pytest.mark.parametrize(("query", "filters"), [*SAID, *AMBIGUOUS], ids=lambda value: str(value)[:60])
def test_filters_are_read_out_of_a_query(query: str, filters: dict[str, object]) -> None:
    assert understand(query, VALUES, NOW).filters == filters


@pytest.mark.parametrize("query", NOT_SAID)
def test_what_is_no_filter_is_left_alone(query: str) -> None:
    understood = understand(query, VALUES, NOW)
    assert (understood.filters, understood.query) == ({}, query)


@pytest.mark.parametrize("query", [query for query, filters in SAID if filters])
def test_nothing_is_invented(query: str) -> None:
    """Without the values only days and nothing else are left."""
    assert set(understand(query, FieldValues(), NOW).filters) <= {"created", "modified"}


@pytest.mark.parametrize("query", [query for query, filters in SAID if filters])
def test_words_that_are_taken_literally_say_nothing(query: str) -> None:
    words = [chip.words for chip in understand(query, VALUES, NOW).chips]
    again = understand(query, VALUES, NOW, literal=words)
    assert not {chip.words for chip in again.chips} & set(words)


@pytest.mark.parametrize(("query", "filters"), SAID)
def test_only_fields_whose_values_may_be_named_are_read(query: str, filters: dict[str, object]) -> None:
    names = {
        "type": "types",
        "folder": "folders",
        "author": "authors",
        "language": "languages",
        "collection": "collections",
    }
    needed = {names.get(field, field) for field in filters} - {"created", "modified"}
    wanted = fields_to_ask_for(query)
    assert wanted >= needed
    read = FieldValues(**{name: getattr(VALUES, name) for name in wanted})
    assert understand(query, read, NOW).filters == filters


@pytest.mark.parametrize(
    "query",
    [
        "How long may I return a tent?",
        "What is the error E-4017 on the display of the stove?",
        "annual leave in 2025",
    ],
)
def test_an_ordinary_question_reads_nothing(query: str) -> None:
    assert fields_to_ask_for(query) == frozenset()


@pytest.mark.parametrize(
    ("query", "rest"),
    [
        ("holiday rules in the HR folder", "holiday rules"),
        ("returns policy by Ben Okafor", "returns policy"),
        ("search in PDF files for the warranty", "for the warranty"),
        ("only PDF files created last week", "only PDF files created last week"),
        ("documents by dana reyes about stoves", "documents about stoves"),
    ],
)
def test_what_is_left_is_looked_for(query: str, rest: str) -> None:
    assert understand(query, VALUES, NOW).query == rest


def test_each_chip_tells_its_words() -> None:
    chips = understand("tents, only PDF files, by Ben, since March", VALUES, NOW).chips
    assert [chip.words for chip in chips] == ["only PDF files", "by Ben", "since March"]


@pytest.mark.parametrize(
    ("zone", "begin"),
    [("Europe/Berlin", "2026-11-26T00:00:00+01:00"), ("America/Los_Angeles", "2026-11-26T00:00:00-08:00")],
)
def test_a_day_is_the_askers(zone: str, begin: str) -> None:
    now = datetime(2026, 11, 27, 12, tzinfo=ZoneInfo(zone))
    where = understand("documents since yesterday", VALUES, now).where
    assert where == Range("modified", datetime.fromisoformat(begin).astimezone(ZoneInfo(zone)), None)


def test_the_askers_clock_tells_which_day_it_is() -> None:
    late = datetime(2026, 11, 27, 23, 30, tzinfo=UTC)
    there = late.astimezone(ZoneInfo("Asia/Tokyo"))
    assert understand("documents from today", VALUES, late).filters == {"modified": "2026-11-27"}
    assert understand("documents from today", VALUES, there).filters == {"modified": "2026-11-28"}


@pytest.mark.parametrize(
    ("said", "days"),
    [
        ("last month", "2025-12-01..2025-12-31"),
        ("last quarter", "2025-10-01..2025-12-31"),
        ("last week", "2025-12-22..2025-12-28"),
        ("last year", "2025-01-01..2025-12-31"),
        ("since December", "2025-12-01.."),
        ("in the last 2 months", "2025-11-02..2026-01-01"),
        ("the past year", None),
    ],
)
def test_the_turn_of_the_year(said: str, days: str | None) -> None:
    read = read_days(said, date(2026, 1, 1))
    assert (str(read[0]) if read else None) == days


@pytest.mark.parametrize("length", [1_000, 10_000])
def test_a_long_hostile_query_is_read_in_time(length: int) -> None:
    for piece in ("in the ", "by a ", "only pdf ", "between 1 March and ", "#", "a/", "in the a "):
        query = (piece * length)[:length]
        understand(query, VALUES, NOW)
