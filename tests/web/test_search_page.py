"""The search page without a browser's scripts: everything is in its address."""

from __future__ import annotations

import html
import re
from urllib.parse import parse_qs, urlsplit

import pytest
from starlette.testclient import TestClient

from tests.web.test_sign_in import sign_in


@pytest.fixture
def reader(client: TestClient) -> TestClient:
    sign_in(client)
    return client


def shown(client: TestClient, address: str) -> str:
    reply = client.get(address)
    assert reply.status_code == 200, reply.text
    return reply.text


def address_of(page: str, label: str) -> str:
    """The link whose name or text has ``label``."""
    found = re.search(
        rf'<a [^>]*href="([^"]*)"[^>]*aria-label="[^"]*{label}[^"]*"|<a [^>]*href="([^"]*)"[^>]*><span>{label}',
        page,
    )
    assert found, label
    return html.unescape(found[1] or found[2])


def test_an_empty_search_shows_the_box_alone(reader: TestClient) -> None:
    page = shown(reader, "/search")
    assert 'name="q"' in page
    assert "hit-list" not in page


def test_hits_lead_to_their_passage_and_mark_the_words(reader: TestClient) -> None:
    page = shown(reader, "/search?q=return+a+tent")
    assert re.search(r'class="hit-title" href="/documents/\w+[^"]*#chunk-\d+"', page)
    assert re.search(r"<mark>[Rr]eturn\w*</mark>", page)
    assert "+12% newer" in page


def test_a_value_narrows_and_its_chip_takes_it_away(reader: TestClient) -> None:
    page = shown(reader, "/search?q=return+a+tent")
    narrower = address_of(page, "policies")
    assert parse_qs(urlsplit(narrower).query)["f"] == ["folder:policies"]
    narrowed = shown(reader, narrower)
    assert "products/" not in narrowed.partition('<div class="hits">')[2]
    assert parse_qs(urlsplit(address_of(narrowed, "Without folder")).query) == {"q": ["return a tent"]}


def test_a_filter_said_in_words_can_be_taken_back(reader: TestClient) -> None:
    page = shown(reader, "/search?q=only+PDF+files+about+return")
    assert ".md" not in page.partition('<div class="hits">')[2]
    without = address_of(page, "Without type")
    assert parse_qs(urlsplit(without).query)["literal"] == ["only PDF files"]
    assert ".md" in shown(reader, without).partition('<div class="hits">')[2]


def test_a_word_that_was_read_as_another_is_told(reader: TestClient) -> None:
    page = shown(reader, "/search?q=retrun+a+tent")
    assert "Searched for <strong>return</strong>" in page


def test_nothing_found_says_what_to_do(reader: TestClient) -> None:
    page = shown(reader, "/search?q=return&f=folder:nowhere")
    assert "Nothing found" in page
    assert "Take a filter away" in page


@pytest.mark.parametrize("filters", ["folder", ":x", "folder:", f"folder:{'x' * 500}"])
def test_what_is_no_filter_is_refused(reader: TestClient, filters: str) -> None:
    assert reader.get("/search", params={"q": "tent", "f": filters}).status_code == 400


def test_what_stands_in_documents_and_addresses_stays_text(reader: TestClient) -> None:
    page = shown(reader, "/search?q=%3Cscript%3Ealert(1)%3C/script%3E+tent&f=folder:%3Cb%3E")
    assert "<script>alert" not in page
    assert "<b>" not in page
