"""The collections' pages in a real browser, over a database: a move is asked for and seen, axe, on a desk and on a phone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from pydantic import SecretStr

from causeway.settings import DatabaseSettings
from causeway.storage.database import open_database
from tests.web.conftest import DESK, PHONE, visiting
from tests.web.serving import serving
from tests.web.shelf_site import ShelfSite, shelf_site
from tests.web.test_browser import overflow, violations

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


@pytest.fixture
def shelves(database_url: str, tmp_path: Path) -> Iterator[str]:
    """The address of a site with one collection."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[ShelfSite]:
        database = await open_database(DatabaseSettings(url=SecretStr(database_url)), tmp_path)
        try:
            async with shelf_site(database, tmp_path) as site:
                await site.worksite.add("# Tents\n\nFour seasons.", collection="handbook")
                yield site
        finally:
            await asyncio.shield(database.close())

    with serving(opened) as (address, _):
        yield address


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_a_collection_is_moved_from_its_page(shelves: str, browser: Browser, size: dict[str, int]) -> None:
    scheme = "dark" if size is PHONE else "light"
    with visiting(browser, shelves, viewport=size, color_scheme=scheme) as page:
        page.goto("/collections")
        page.get_by_role("link", name="handbook").first.click()
        assert violations(page) == []
        assert overflow(page) <= 0
        page.get_by_role("button", name="Move to Pinecone").click()
        expect(page.get_by_role("progressbar", name="Copied to Pinecone")).to_be_visible()
        with page.expect_response(lambda answer: answer.url.endswith("/move")):
            pass  # the page asks by itself how far it is
        assert violations(page) == []
        assert overflow(page) <= 0
        page.get_by_role("button", name="back to PostgreSQL").click()
        expect(page.get_by_role("progressbar", name="Copied to PostgreSQL")).to_be_visible()
