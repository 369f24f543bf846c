"""Takes the screenshots of the guide anew, from the sites that the tests of the pages use.

    PYTHONPATH=. python docs/take_screenshots.py [NAME ...]

Needs chromium and, for those of a running product, the models (``causeway models pull``). Without names it takes all.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from signal import SIGINT
from subprocess import PIPE, Popen
from urllib.request import Request, urlopen

from playwright.sync_api import Browser, Page, expect, sync_playwright

from causeway.settings import child_environment
from causeway.storage import embedded_postgres
from tests.web import admin_site, prompts_site, shelf_site
from tests.web.conftest import PHONE, installed_chromium, visiting
from tests.web.conftest import serving as serving_parts
from tests.web.scripted import ADMIN_KEY, EXAMPLES, FOLLOW_UP, UNANSWERABLE, scripted
from tests.web.scripted_evals import EARLIER, LATER

PICTURES = Path(__file__).parent / "screenshots"
DESK = {"width": 1280, "height": 860}
_SETTLES_MS = 1_500
_SAMPLES = 45
_MODEL_MS = 120_000


@dataclass(frozen=True, slots=True)
class Served:
    """A site that listens, and the key that signs in to it."""

    address: str
    key: str = ADMIN_KEY


@contextmanager
def _company(folder: Path) -> Iterator[Served]:
    with serving_parts(scripted(folder).parts) as address:
        yield Served(address)


@contextmanager
def _running(folder: Path) -> Iterator[Served]:
    """The product itself with the sample company, its database and the local models."""
    program = [sys.executable, "-m", "causeway", "up", "--demo", "--port", "0"]
    environment = child_environment(CAUSEWAY_STORAGE__DIR=str(folder))
    with Popen(program, stdout=PIPE, text=True, env=environment) as product:
        try:
            said = "".join(takewhile(lambda line: "Stop with" not in line, product.stdout or ()))
            found = re.search(r"(http://\S+)\s+Admin key: (\S+)", said)
            assert found, said
            _until_read(*found.groups())
            yield Served(*found.groups())
        finally:
            product.send_signal(SIGINT)


def _until_read(address: str, key: str) -> None:
    """Wait until the sample company is read, at most three minutes."""
    deadline = time.monotonic() + 180
    asked = Request(f"{address}/api/documents?limit=100", headers={"Authorization": f"Bearer {key}"})
    while time.monotonic() < deadline:
        with urlopen(asked, timeout=30) as answer:
            documents = json.load(answer)["documents"]
        if len(documents) == _SAMPLES and all(each["is_searchable"] for each in documents):
            return
        time.sleep(1)
    msg = "the sample company was not read within three minutes"
    raise SystemExit(msg)


@contextmanager
def _administration(folder: Path) -> Iterator[Served]:
    with (
        _server(folder) as url,
        admin_site.serving_admin(
            url, folder, environment=admin_site.DEMO_ENVIRONMENT, furnished=admin_site.furnish
        ) as served,
    ):
        yield Served(served[0], served[1].admin_key)


@contextmanager
def _prompts(folder: Path) -> Iterator[Served]:
    with _server(folder) as url, prompts_site.serving_prompts(url, folder) as served:
        yield Served(served[0], served[1].admin.admin_key)


@contextmanager
def _collections(folder: Path) -> Iterator[Served]:
    with _server(folder) as url, shelf_site.serving_collections(url, folder) as served:
        yield Served(served[0])


@contextmanager
def _server(folder: Path) -> Iterator[str]:
    server = embedded_postgres.start(folder / "postgres", options={"fsync": "off"})
    try:
        yield server.url()
    finally:
        server.close()


def _opens(path: str) -> Callable[[Page], None]:
    return lambda page: _settled(page, path)


def _settled(page: Page, path: str) -> None:
    page.goto(path)
    page.wait_for_load_state("networkidle")


def _asked(question: str, *more: str) -> Callable[[Page], None]:
    def do(page: Page) -> None:
        for turn, each in enumerate((question, *more), start=1):
            page.fill("#question", each)
            page.press("#question", "Enter")
            expect(page.locator(".turn")).to_have_count(turn)
            expect(page.locator(".turn-foot").nth(turn - 1)).to_be_visible(timeout=_MODEL_MS)
        page.locator(".turn").first.scroll_into_view_if_needed()

    return do


def _passage(page: Page) -> None:
    _asked(EXAMPLES[1])(page)
    page.locator("[data-cite]").first.click()
    expect(page.locator("#passage img")).to_have_js_property("complete", True)
    page.wait_for_timeout(_SETTLES_MS)


def _document(title: str) -> Callable[[Page], None]:
    def do(page: Page) -> None:
        page.goto("/documents")
        page.get_by_role("link", name=title).first.click()
        page.get_by_role("link", name="Pages").click()
        page.wait_for_load_state("networkidle")

    return do


def _palette(page: Page) -> None:
    _settled(page, "/documents")
    page.keyboard.press("Control+k")
    page.keyboard.type("te")
    page.wait_for_timeout(_SETTLES_MS)


def _analyst(page: Page) -> None:
    _asked_of_the_shop(page, "What was our revenue by month in 2025?")


def _board(page: Page) -> None:
    for question in (
        "What was our revenue by month in 2025?",
        "Which ten products brought the most revenue?",
    ):
        _asked_of_the_shop(page, question)
        page.get_by_role("button", name="Pin to board").last.click()
        expect(page.locator(".finding-note").last).to_contain_text("Pinned")
    page.goto("/analyst")
    expect(page.locator(".board-card .chart-dark").nth(1)).to_be_visible()


def _asked_of_the_shop(page: Page, question: str) -> None:
    page.goto("/analyst")
    page.fill("#question", question)
    page.press("#question", "Enter")
    expect(page.locator(".finding-table")).to_be_visible(timeout=_MODEL_MS)


def _trace(page: Page) -> None:
    _asked(EXAMPLES[0])(page)
    page.goto("/traces")
    page.locator("tbody a", has_text=EXAMPLES[0]).first.click()
    page.wait_for_load_state("networkidle")


def _tier(page: Page) -> None:
    page.goto("/admin/tiers")
    page.get_by_role("link", name="New tier").click()
    expect(page.locator("#sheet")).to_be_visible()


def _users(page: Page) -> None:
    for name in ("Dana Reyes", "Sam Okafor", "Mina Larsen"):
        page.goto("/admin/users")
        page.get_by_role("link", name="New user").click()
        sheet = page.locator("#sheet")
        sheet.get_by_label("E-mail").fill(f"{name.split()[0].lower()}@example.com")
        sheet.get_by_label("Name").fill(name)
        sheet.get_by_role("button", name="Make the account").click()
        sheet.get_by_role("link", name="Done").click()
        expect(page.get_by_role("row", name=name)).to_be_visible()


def _prompt(page: Page) -> None:
    page.goto("/prompts")
    page.get_by_role("link", name="answer", exact=True).first.click()
    page.wait_for_load_state("networkidle")


def _collection(page: Page) -> None:
    page.goto("/collections")
    page.get_by_role("link", name="support mail").first.click()
    page.wait_for_load_state("networkidle")


SHOTS: dict[Callable[[Path], AbstractContextManager[Served]], dict[str, Callable[[Page], None]]] = {
    _company: {
        "answer-light": _asked(EXAMPLES[0]),
        "answer-phone-dark": _asked(EXAMPLES[0]),
        "refusal-light": _asked(UNANSWERABLE),
        "conversation-light": _asked(EXAMPLES[0], FOLLOW_UP[0]),
        "conversation-phone-dark": _asked(EXAMPLES[0], FOLLOW_UP[0]),
        "passage-dark": _passage,
        "document-page-light": _document("Travel policy 2026"),
        "document-page-phone-dark": _document("Travel policy 2026"),
        "palette-light": _palette,
        "dashboard-light": _opens("/dashboard"),
        "dashboard-phone-dark": _opens("/dashboard"),
        "trace-light": _trace,
        "evals-compare-light": _opens(f"/evals/{LATER}/beside?earlier={EARLIER}"),
        "evals-phone-dark": _opens(f"/evals/{LATER}"),
        "styleguide-light": _opens("/styleguide"),
        "styleguide-dark": _opens("/styleguide"),
        "styleguide-phone-dark": _opens("/styleguide"),
    },
    _running: {
        "answer-real": _asked("What does E-4017 mean, and what do I do?"),
        "filters-light": _asked("How many days of annual leave? Only markdown files in the handbook folder"),
        "analyst-light": _analyst,
        "analyst-board-dark": _board,
        "admin-access-light": _opens("/admin/access"),
        "search-light": _opens("/search?q=annual+leave"),
        "document-scan-dark": _document("SUPPLY AGREEMENT"),
    },
    _administration: {
        "admin-keys-light": _opens("/admin/keys"),
        "admin-providers-dark": _opens("/admin/providers"),
        "admin-tier-light": _tier,
        "admin-usage-light": _opens("/admin/usage"),
        "admin-changes-phone-dark": _opens("/admin/audit"),
        "admin-users-light": _users,
    },
    _prompts: {"prompt-light": _prompt},
    _collections: {
        "collections-light": _opens("/collections"),
        "collections-phone-dark": _opens("/collections"),
        "collection-light": _collection,
    },
}
"""By site: a picture's name, which says its colours and whether it is a phone's, and what leads to it."""


def _take(browser: Browser, served: Served, name: str, lead: Callable[[Page], None]) -> None:
    is_phone = "phone" in name
    with visiting(
        browser,
        served.address,
        key=served.key,
        viewport=PHONE if is_phone else DESK,
        is_mobile=is_phone,
        device_scale_factor=2 if is_phone else 1,
        color_scheme="dark" if name.endswith("dark") else "light",
        reduced_motion="reduce",
    ) as page:
        lead(page)
        page.screenshot(path=PICTURES / f"{name}.png")


def main() -> None:
    """Take the pictures that the command line names, or all."""
    wanted = set(sys.argv[1:]) or {name for shots in SHOTS.values() for name in shots}
    with sync_playwright() as playwright, ExitStack() as opened:
        browser = opened.enter_context(installed_chromium(playwright))
        for site, shots in SHOTS.items():
            if not wanted & shots.keys():
                continue
            folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="causeway-")))
            with site(folder) as served:
                for name in sorted(wanted & shots.keys()):
                    _take(browser, served, name, shots[name])
                    sys.stdout.write(f"{name}\n")


if __name__ == "__main__":
    main()
