from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from causeway.contracts.clock import Clock, SystemClock
from causeway.errors import SettingsError, UpstreamError, UpstreamRateLimitError
from causeway.knowledge.ingest.connector import Before, Listing
from causeway.knowledge.ingest.notion import Notion, open_notion
from causeway.knowledge.ingest.sync import SizeLimit, Synchroniser
from causeway.knowledge.ingest.sync_summary import SyncSummary
from causeway.knowledge.library import Library
from causeway.settings import SourceSettings
from causeway.testing.clock import FrozenClock
from causeway.testing.connector_contract import CHECKS, Check, Source, take
from tests.knowledge.ingest.notion_server import TOKEN, NotionServer, block, paragraph, rich
from tests.knowledge.ingest.vendor_server import served


@pytest.fixture
def notion() -> NotionServer:
    return NotionServer()


@pytest.fixture
async def address(notion: NotionServer) -> AsyncIterator[str]:
    async with served(notion.answer) as address:
        yield address


@asynccontextmanager
async def opened(
    address: str,
    *,
    token: str = TOKEN,
    clock: Clock | None = None,
    reads_pictures: bool = False,
    **values: object,
) -> AsyncIterator[Notion]:
    fixed = {"kind": "notion", "token": token, "base_url": address, "requests_per_second": 100}
    settings = SourceSettings.model_validate({**fixed, **values})
    opening = open_notion("wiki", settings, clock=clock or SystemClock(), reads_pictures=reads_pictures)
    async with opening as source:
        yield source


@pytest.fixture
def source(notion: NotionServer, address: str, tmp_path: Path) -> Source:
    async def write(name: str, words: str) -> None:
        notion.page(name, [paragraph(words)])

    async def remove(name: str) -> None:
        notion.trash(name)

    async def rename(name: str, title: str) -> None:
        notion.rename(name, title)

    async def cut() -> None:
        notion.down = True

    return Source(
        open=lambda: opened(address), write=write, remove=remove, rename=rename, cut=cut, folder=tmp_path
    )


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_notion_keeps_the_contract(check: Check, source: Source) -> None:
    await check(source)


async def listed(address: str, before: dict[str, Before] | None = None, **values: object) -> Listing:
    async with opened(address, **values) as source:  # type: ignore[arg-type]  # settings by name
        return await source.listing(before or {}, since=None)


async def text(address: str, path: str) -> str:
    async with opened(address) as source:
        listing = await source.listing({}, since=None)
        (item,) = [each for each in listing.items if each.path == path]
        content = (await source.fetch(item)).content
        assert isinstance(content, bytes)
        return content.decode()


# --- what is found -----------------------------------------------------------------------------------


async def test_pages_lie_where_they_lie_in_notion(notion: NotionServer, address: str) -> None:
    notion.page("Brain", [])
    notion.page("Policies", [], parent="Brain")
    notion.page("Travel/Rail", [], parent="Policies")
    notion.page("one", [], title="Same")
    notion.page("two", [], title="Same")
    paths = {item.path for item in (await listed(address)).items}
    same = {f"Same {notion.identity(name)[:8]}.md" for name in ("one", "two")}
    assert paths == {"Brain.md", "Brain/Policies.md", "Brain/Policies/Travel\N{DIVISION SLASH}Rail.md", *same}


async def test_a_database_is_a_table_and_its_rows_are_pages(notion: NotionServer, address: str) -> None:
    notion.database("Actions")
    for n in range(5):
        notion.page(
            f"Row {n}",
            [paragraph(f"Body {n}")],
            database="Actions",
            Due={"type": "date", "date": {"start": f"2026-01-0{n + 1}"}},
            Tags={"type": "multi_select", "multi_select": [{"name": "a|b"}, {"name": "c"}]},
        )
    listing = await listed(address)
    assert {item.path for item in listing.items} == {
        "Actions.md",
        *(f"Actions/Row {n}.md" for n in range(5)),
    }
    shown = await text(address, "Actions.md")
    assert shown.startswith("# Actions\n\nWhat is open.\n\n| Name | Due | Tags |\n|---|---|---|\n")
    assert "| Row 4 | 2026-01-05 | a\\|b, c |" in shown
    assert await text(address, "Actions/Row 0.md") == (
        "# Row 0\n\n- Due: 2026-01-01\n- Tags: a|b, c\n\nBody 0\n"
    )


async def test_a_row_that_changes_changes_the_table(notion: NotionServer, address: str) -> None:
    notion.database("Actions")
    notion.page("Row", [], database="Actions")
    (before,) = [item for item in (await listed(address)).items if item.path == "Actions.md"]
    notion.page("Row", [], database="Actions", Done={"type": "checkbox", "checkbox": True})
    (after,) = [item for item in (await listed(address)).items if item.path == "Actions.md"]
    assert before.revision != after.revision


async def test_authors_addresses_and_tags_are_told(notion: NotionServer, address: str) -> None:
    notion.page("A", [], Topic={"type": "multi_select", "multi_select": [{"name": "rail"}]})
    async with opened(address) as source:
        (item,) = (await source.listing({}, since=None)).items
        fetched = await source.fetch(item)
    assert fetched.metadata == {"author": "Ada Lovelace", "tags": ["rail"]}
    assert item.metadata["url"] == f"https://www.notion.so/{item.identity}"
    assert item.modified_at.isoformat() == "2025-06-01T00:01:00+00:00"


async def test_what_search_does_not_know_yet_is_asked_for_by_its_id(
    notion: NotionServer, address: str, source: Source
) -> None:
    notion.page("kept", [paragraph("kept")])
    notion.page("gone", [paragraph("gone")])
    notion.database("table")
    taken = await take(source)
    notion.hidden = {notion.identity("kept"), notion.identity("table")}
    notion.trash("gone")
    listing = await listed(address, taken.before)
    assert {item.path for item in listing.items} == {"kept.md", "table.md"}
    assert not listing.may_hold("gone.md")


async def test_a_page_edited_this_minute_is_looked_at_once_more(
    notion: NotionServer, address: str, clock: FrozenClock
) -> None:
    identity = notion.page("A", [])
    notion.pages[identity]["last_edited_time"] = clock.now().strftime("%Y-%m-%dT%H:%M:00.000Z")

    async def revision(after_s: float) -> str:
        clock.advance(after_s)
        async with opened(address, clock=_Moving(clock)) as source:
            return (await source.listing({}, since=None)).items[0].revision

    young = await revision(20)
    settled = await revision(600)
    assert young != settled
    assert await revision(600) == settled


class _Moving(SystemClock):
    """The frozen clock's date, and a monotonic clock that runs."""

    def __init__(self, clock: FrozenClock) -> None:
        self.now = clock.now


async def test_more_than_the_most_pages_are_an_unfinished_listing(notion: NotionServer, address: str) -> None:
    for n in range(7):
        notion.page(f"p{n}", [])
    listing = await listed(address, max_items=5)
    assert len(listing.items) == 5
    assert "max_items" in listing.unseen[""]


async def test_patterns_choose_pages_by_path(notion: NotionServer, address: str) -> None:
    notion.page("Brain", [])
    notion.page("Secret", [], parent="Brain")
    listing = await listed(address, include=["Brain*"], exclude=["*/secret.md"])
    assert [item.path for item in listing.items] == ["Brain.md"]


# --- when it does not go well --------------------------------------------------------------------------


async def test_a_busy_notion_is_asked_again_when_it_wants(notion: NotionServer, address: str) -> None:
    notion.page("A", [])
    notion.stumbles = [web.Response(status=429, headers={"Retry-After": "0"}) for _ in range(3)]
    assert len((await listed(address)).items) == 1


async def test_one_that_asks_for_too_much_patience_is_left_for_later(
    notion: NotionServer, address: str
) -> None:
    notion.stumbles = [web.Response(status=429, headers={"Retry-After": "900"})]
    with pytest.raises(UpstreamRateLimitError, match="900 s") as raised:
        await listed(address)
    assert raised.value.retry_after_s == 900


async def test_a_wrong_token_is_a_setting_to_mend_and_is_not_shown(address: str) -> None:
    with pytest.raises(SettingsError, match=r"sources\.wiki \(Notion\) refuses its token") as raised:
        await listed(address, token="ntn_wrong")
    assert "ntn_wrong" not in str(raised.value)


@pytest.mark.parametrize(
    "body",
    ["", "<html>", "[]", '{"object": "list"}', '{"results": 3}', '{"results": [], "has_more": true}'],
)
async def test_an_answer_that_is_none_is_an_error_and_not_an_empty_notion(
    notion: NotionServer, address: str, body: str
) -> None:
    notion.stumbles = [web.Response(text=body, content_type="application/json")]
    with pytest.raises(UpstreamError):
        await listed(address)


async def test_results_of_other_shapes_are_passed_over(notion: NotionServer, address: str) -> None:
    notion.page("A", [])
    odd = '{"results": [null, 3, {}, {"id": 7}, {"id": "x", "parent": 3, "properties": [1]}], "has_more": false}'
    notion.stumbles = [web.Response(text=odd, content_type="application/json")]
    assert [item.path for item in (await listed(address)).items] == ["Untitled.md"]


# --- blocks ------------------------------------------------------------------------------------------


async def test_every_kind_of_block_becomes_markdown(notion: NotionServer, address: str) -> None:
    cells = [[[rich("Rate")], [rich("Do")]], [[rich("low")], [rich("restart | wait")]]]
    notion.page(
        "All",
        [
            block("heading_1", "Check"),
            block(
                "paragraph",
                rich_text=[rich("See "), rich("the map", bold=True, href="https://a.test/m"), rich(" now")],
            ),
            block(
                "bulleted_list_item",
                "one",
                [block("numbered_list_item", "inner"), block("numbered_list_item", "next")],
            ),
            block("bulleted_list_item", "two"),
            block("to_do", "done", checked=True),
            block("toggle", "More", [paragraph("hidden")]),
            block("quote", "said"),
            block("callout", "Mind", icon={"emoji": "!"}),
            block("code", language="bash", rich_text=[rich("ls ```\n  -l")]),
            block("divider"),
            block("equation", expression="e=mc^2"),
            block("table", has_column_header=True, children=[block("table_row", cells=row) for row in cells]),
            block(
                "column_list",
                children=[
                    block("column", children=[paragraph("left")]),
                    block("column", children=[paragraph("right")]),
                ],
            ),
            block("child_page", title="Inner"),
            block("image", caption=[rich("a map")], external={"url": "https://a.test/m.png"}),
            block("unsupported"),
        ],
    )
    assert await text(address, "All.md") == (
        "# All\n\n## Check\n\nSee [**the map**](https://a.test/m) now\n\n"
        "- one\n    1. inner\n    1. next\n- two\n\n- [x] done\n\nMore\n\nhidden\n\n> said\n\n> ! Mind\n\n"
        "````bash\nls ```\n  -l\n````\n\n$$\ne=mc^2\n$$\n\n"
        "| Rate | Do |\n|---|---|\n| low | restart \\| wait |\n\nleft\n\nright\n\n*Inner*\n\n"
        "[a map](https://a.test/m.png)\n"
    )


async def test_a_synced_block_shows_its_original_and_never_itself(notion: NotionServer, address: str) -> None:
    original = "aaaaaaaa-0000-0000-0000-000000000001"
    copy = block("synced_block", synced_from={"type": "block_id", "block_id": original})
    inner = {**copy, "has_children": True, "id": "aaaaaaaa-0000-0000-0000-000000000002"}
    notion.page("Origin", [{**block("synced_block", children=[paragraph("shared"), inner]), "id": original}])
    lost = block("synced_block", synced_from={"block_id": "bbbbbbbb-0000-0000-0000-000000000009"})
    notion.page(
        "Copy",
        [
            {**copy, "has_children": True, "id": "aaaaaaaa-0000-0000-0000-000000000003"},
            {**lost, "has_children": True, "id": "aaaaaaaa-0000-0000-0000-000000000004"},
        ],
    )
    assert await text(address, "Origin.md") == "# Origin\n\nshared\n"
    assert await text(address, "Copy.md") == "# Copy\n\nshared\n"


async def test_an_empty_page_is_still_found_by_its_title(notion: NotionServer, address: str) -> None:
    notion.page("Empty", [])
    assert await text(address, "Empty.md") == "# Empty\n\nEmpty\n"


# --- files -------------------------------------------------------------------------------------------


def kept(address: str, name: str, number: int) -> dict[str, object]:
    url = f"{address}/s3/{name}?X-Amz-Signature=secret"
    return {**block("pdf", file={"url": url}), "id": f"ffffffff-0000-0000-0000-00000000000{number}"}


async def test_files_in_a_page_live_and_die_with_it(
    notion: NotionServer, address: str, library: Library
) -> None:
    async def sync() -> SyncSummary:
        async with opened(address, allow_networks=["127.0.0.1/32"]) as source:
            return await Synchroniser(library).sync(source, limit=SizeLimit(1000, "max"))

    notion.files = {"/s3/map.pdf": b"%PDF map", "/s3/plan.pdf": b"%PDF plan", "/s3/big.pdf": b"x" * 2000}
    one, two = kept(address, "map.pdf", 1), kept(address, "plan.pdf", 2)
    notion.page("Trip", [paragraph("Go"), block("toggle", "Files", [one, two])])
    notion.page("Other", [paragraph("Stay")])
    assert (await sync()).new == ("Other.md", "Trip.md", "Trip/map ffffffff.pdf", "Trip/plan ffffffff.pdf")
    again = await sync()
    assert (len(again.unchanged), again.deleted, again.changed) == (4, (), ())
    notion.page("Trip", [paragraph("Go now"), one, kept(address, "big.pdf", 3)])
    edited = await sync()
    assert (edited.changed, edited.deleted) == (("Trip.md",), ("Trip/plan ffffffff.pdf",))
    assert edited.unchanged == ("Other.md", "Trip/map ffffffff.pdf")
    assert [(path, "larger" in why) for path, why in edited.failed] == [("Trip/big ffffffff.pdf", True)]
    notion.trash("Trip")
    assert (await sync()).deleted == ("Trip.md", "Trip/map ffffffff.pdf")
    assert set(await library.known(None, "notion:wiki")) == {"Other.md"}


@pytest.mark.parametrize("reads_pictures", [True, False])
async def test_pictures_in_a_page_are_documents_where_they_can_be_read(
    notion: NotionServer, address: str, library: Library, reads_pictures: bool
) -> None:
    async def sync(reads_pictures: bool) -> SyncSummary:
        opening = opened(address, reads_pictures=reads_pictures, allow_networks=["127.0.0.1/32"])
        async with opening as source:
            return await Synchroniser(library).sync(source, limit=SizeLimit(1000, "max"))

    notion.files = {"/s3/board.png": b"\x89PNG board"}
    url = f"{address}/s3/board.png?X-Amz-Signature=secret"
    elsewhere = block("image", external={"url": "https://a.test/m.png"})
    notion.page(
        "Trip", [paragraph("Go"), {**block("image", file={"url": url}), "id": "ffffffff-1"}, elsewhere]
    )
    picture = ("Trip/board ffffffff.png",) if reads_pictures else ()
    assert (await sync(reads_pictures)).new == ("Trip.md", *picture)
    again = await sync(reads_pictures)
    assert (again.new, again.deleted, len(again.unchanged)) == ((), (), 1 + len(picture))
    # an engine that is installed later brings the pictures of pages that nobody edits
    assert (await sync(True)).new == (() if reads_pictures else ("Trip/board ffffffff.png",))


async def test_files_behind_private_addresses_are_not_fetched(
    notion: NotionServer, address: str, library: Library
) -> None:
    notion.files = {"/s3/map.pdf": b"%PDF map"}
    notion.page("Trip", [kept(address, "map.pdf", 1)])
    async with opened(address) as source:
        summary = await Synchroniser(library).sync(source, limit=SizeLimit(1000, "max"))
    ((path, reason),) = summary.failed
    assert (path, "not a public address" in reason, "secret" in reason) == (
        "Trip/map ffffffff.pdf",
        True,
        False,
    )
    assert "GET /s3/map.pdf" not in notion.asked
