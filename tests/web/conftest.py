"""Fixtures of the web's tests: the scripted Causeway, a client signed in to it, a server and a browser."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright
from starlette.testclient import TestClient

from causeway.web.app import build_app
from causeway.web.parts import WebParts
from tests.web.scripted import ADMIN_KEY, Scripted, scripted
from tests.web.serving import serving as serving_site

_CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESK = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
_PATIENCE_MS = 20_000


@pytest.fixture
def site(tmp_path: Path) -> Scripted:
    """A scripted Causeway with the sample company."""
    return scripted(tmp_path)


@pytest.fixture
def connect() -> Iterator[Callable[[WebParts], TestClient]]:
    """Opens clients of a web over given parts."""
    opened: list[TestClient] = []

    def open_client(parts: WebParts) -> TestClient:
        client = TestClient(build_app(parts), base_url="http://causeway.test", follow_redirects=False)
        opened.append(client)
        return client

    yield open_client
    for client in opened:
        client.close()


@pytest.fixture
def client(site: Scripted, connect: Callable[[WebParts], TestClient]) -> TestClient:
    """Nobody."""
    return connect(site.parts)


@pytest.fixture
def api(client: TestClient) -> TestClient:
    """A program with the admin key."""
    client.headers["authorization"] = f"Bearer {ADMIN_KEY}"
    return client


@dataclass(frozen=True, slots=True)
class Served:
    """A web that listens."""

    address: str
    site: Scripted


@dataclass(frozen=True, slots=True)
class _Site:
    parts: WebParts


@contextmanager
def serving(parts: WebParts) -> Iterator[str]:
    """Serve over a loopback port of the system's choice; the address."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[_Site]:
        yield _Site(parts)

    with serving_site(opened) as (address, _):
        yield address


@pytest.fixture
def served(site: Scripted) -> Iterator[Served]:
    """The scripted Causeway, listening."""
    with serving(site.parts) as address:
        yield Served(address, site)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's chromium. Playwright keeps an event loop running in this thread, so no asynchronous test may stand in
    a module that uses it, and it ends with the module.
    """
    expect.set_options(timeout=_PATIENCE_MS)
    with sync_playwright() as playwright, installed_chromium(playwright) as opened:
        yield opened


@contextmanager
def installed_chromium(playwright: Playwright) -> Iterator[Browser]:
    """The system's chromium, without a window."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.fail("browser tests need chromium: apt-get install -y chromium")
    opened = playwright.chromium.launch(executable_path=program, args=_CHROMIUM_ARGUMENTS)
    yield opened
    opened.close()


@contextmanager
def visiting(browser: Browser, address: str, *, key: str = ADMIN_KEY, **options: object) -> Iterator[Page]:
    """A page of a fresh context, signed in; it fails when the page complained."""
    complaints: list[str] = []
    context = browser.new_context(base_url=address, **options)  # type: ignore[arg-type]  # playwright's own options
    page = context.new_page()
    page.set_default_timeout(_PATIENCE_MS)
    page.on(
        "console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto("/sign-in")
    if page.locator("details", has=page.locator("[name=key]")).count():
        page.get_by_text("Sign in with a key").first.click()
    page.fill("[name=key]", key)
    page.press("[name=key]", "Enter")
    page.wait_for_url(f"{address}/")
    yield page
    context.close()
    assert complaints == []


@pytest.fixture
def page(served: Served, browser: Browser) -> Iterator[Page]:
    """A desk's browser, signed in, on the first screen."""
    with visiting(browser, served.address, viewport=DESK) as opened:
        yield opened


@pytest.fixture
def phone(served: Served, browser: Browser) -> Iterator[Page]:
    """A phone's browser, signed in, in the dark."""
    with visiting(
        browser, served.address, viewport=PHONE, has_touch=True, is_mobile=True, color_scheme="dark"
    ) as opened:
        yield opened
