from __future__ import annotations

import io
import json
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web

from causeway.contracts.clock import SystemClock
from causeway.errors import SettingsError, UnreadableDocumentError, UpstreamError, UpstreamRateLimitError
from causeway.knowledge.ingest.connector import Before, Item, Listing
from causeway.knowledge.ingest.slack import Slack, open_slack
from causeway.knowledge.ingest.slack_export import open_slack_export
from causeway.knowledge.ingest.slack_messages import Workspace
from causeway.settings import SourceSettings
from causeway.testing.connector_contract import CHECKS, Check, Source, take
from tests.knowledge.ingest.slack_server import TOKEN, SlackServer
from tests.knowledge.ingest.vendor_server import served

NOW = datetime(2026, 6, 30, 12, tzinfo=UTC)


class Noon(SystemClock):
    """A day that stands still, and seconds that pass."""

    def __init__(self, later: timedelta = timedelta()) -> None:
        self._now = NOW + later

    def now(self) -> datetime:
        return self._now


@pytest.fixture
def slack() -> SlackServer:
    return SlackServer(now=NOW)


@pytest.fixture
async def address(slack: SlackServer) -> AsyncIterator[str]:
    async with served(slack.answer) as address:
        yield address


@asynccontextmanager
async def opened(
    address: str, *, token: str = TOKEN, later: timedelta = timedelta(), **values: object
) -> AsyncIterator[Slack]:
    fixed = {"kind": "slack", "token": token, "base_url": f"{address}/api", "requests_per_second": 100}
    settings = SourceSettings.model_validate({**fixed, **values})
    async with open_slack("chat", settings, clock=Noon(later)) as source:
        yield source


async def listed(
    address: str, before: dict[str, Before] | None = None, *, since: datetime | None = None, **values: object
) -> Listing:
    async with opened(address, **values) as source:  # type: ignore[arg-type]  # settings by name
        return await source.listing(before or {}, since=since)


async def texts(address: str) -> dict[str, str]:
    async with opened(address) as source:
        listing = await source.listing({}, since=None)
        return {item.path: await text_of(source, item) for item in listing.items}


async def text_of(source: Slack, item: Item) -> str:
    content = (await source.fetch(item)).content
    return content.read_text() if isinstance(content, Path) else bytes(content).decode()  # type: ignore[arg-type]  # never pieces


@pytest.fixture(params=["days", "threads"])
def source(request: pytest.FixtureRequest, slack: SlackServer, address: str, tmp_path: Path) -> Source:
    """A channel for each name, with a message, alone or in a thread."""
    said: dict[str, tuple[str, str]] = {}

    async def write(name: str, words: str) -> None:
        if name in said:
            slack.edit(*said[name], words)
            return
        channel = slack.channel(name)
        if request.param == "days":
            said[name] = (channel, slack.say(channel, words))
        else:
            root = slack.say(channel, "A question")
            said[name] = (channel, slack.say(channel, words, thread=root))

    async def remove(name: str) -> None:
        del slack.channels[said[name][0]]

    async def rename(name: str, title: str) -> None:
        slack.channels[said[name][0]]["name"] = title

    async def cut() -> None:
        slack.down = True

    return Source(
        open=lambda: opened(address), write=write, remove=remove, rename=rename, cut=cut, folder=tmp_path
    )


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_slack_keeps_the_contract(check: Check, source: Source) -> None:
    await check(source)


# --- documents ---------------------------------------------------------------------------------------


async def test_threads_are_documents_and_so_are_days(slack: SlackServer, address: str) -> None:
    channel = slack.channel("general")
    yesterday = NOW - timedelta(days=1)
    slack.say(channel, "Good morning", at=yesterday)
    root = slack.say(channel, "Who has the <https://a.test/key|key>?", at=yesterday)
    slack.say(channel, "<@U2> has &amp; keeps it", thread=root, user="U2")
    slack.say(channel, "Hello <#C000|general>, <!here>", user="U9")
    slack.say(channel, "ada has joined", subtype="channel_join")
    found = await texts(address)
    assert found == {
        "general/2026-06-29.md": "# #general, 29 June 2026\n\n**Ada Lovelace**, 12:00: Good morning\n",
        f"general/2026-06-29 thread {root}.md": (
            "# #general: Who has the [key](https://a.test/key)?\n\n"
            "**Ada Lovelace**, 12:00: Who has the [key](https://a.test/key)?\n\n"
            "**Bob Stone**, 12:00: @Bob Stone has & keeps it\n"
        ),
        "general/2026-06-30.md": "# #general, 30 June 2026\n\n**somebody**, 12:00: Hello #general, @here\n",
    }


async def test_a_document_knows_where_it_is_and_who_spoke(slack: SlackServer, address: str) -> None:
    channel = slack.channel("general")
    root = slack.say(channel, "Question")
    slack.say(channel, "Answer", thread=root, user="U2")
    (item,) = (await listed(address)).items
    assert item.metadata == {
        "channel": "general",
        "author": "Ada Lovelace",
        "authors": ["Ada Lovelace", "Bob Stone"],
        "created": NOW.isoformat().replace("+00:00", ".000001+00:00"),
        "url": f"https://acme.slack.com/archives/{channel}/p{root.replace('.', '')}",
    }


async def test_edits_and_deletions_change_what_they_touch(slack: SlackServer, address: str) -> None:
    channel = slack.channel("general")
    root = slack.say(channel, "Question")
    answers = [slack.say(channel, f"Answer {n}", thread=root) for n in range(2)]
    alone = slack.say(channel, "Alone")
    slack.edit(channel, answers[0], "Better")
    slack.delete(channel, answers[1])
    slack.edit(channel, alone, "Quite alone")
    found = await texts(address)
    assert "(edited): Better" in found[f"general/2026-06-30 thread {root}.md"]
    assert "Answer 1" not in found[f"general/2026-06-30 thread {root}.md"]
    assert found["general/2026-06-30.md"].endswith("(edited): Quite alone\n")
    slack.delete(channel, alone)
    assert "general/2026-06-30.md" not in await texts(address)


async def test_attachments_files_and_bots_are_told(slack: SlackServer, address: str) -> None:
    channel = slack.channel("alerts")
    slack.say(
        channel,
        "",
        subtype="bot_message",
        username="Pager",
        user="",
        attachments=[{"title": "QLAG-117", "text": "lag &gt; 50000"}],
        files=[{"name": "graph.png"}, {"mode": "tombstone", "name": "gone"}],
    )
    assert (await texts(address))["alerts/2026-06-30.md"].endswith(
        "**Pager**, 12:00: QLAG-117\nlag > 50000\n(file: graph.png)\n"
    )


# --- what is read ------------------------------------------------------------------------------------


async def test_channels_are_chosen_by_name_and_must_be_joined(slack: SlackServer, address: str) -> None:
    for name, is_member in (("team-a", True), ("team-b", False), ("random", True), ("team-c", True)):
        slack.say(slack.channel(name, is_member=is_member), "hi")
    listing = await listed(address, include=["team-*"], exclude=["team-c"])
    assert [item.path for item in listing.items] == ["team-a/2026-06-30.md"]
    assert listing.unseen == {"team-b": "the app is not in #team-b; invite it there"}
    assert not (await listed(address)).unseen


async def test_history_is_read_so_far_back(slack: SlackServer, address: str) -> None:
    channel = slack.channel("general")
    for days in (0, 20, 40):
        slack.say(channel, f"{days} days ago", at=NOW - timedelta(days=days))
    assert len((await listed(address, history_days=30)).items) == 2


async def test_between_thorough_syncs_only_the_last_days_are_read(
    slack: SlackServer, address: str, source: Source
) -> None:
    channel = slack.channel("general")
    for days in range(40):
        slack.say(channel, f"{days} days ago", at=NOW - timedelta(days=days))
    taken = await take(source)
    slack.asked.clear()
    listing = await listed(address, taken.before, since=NOW - timedelta(hours=1))
    assert {item.path: item.revision for item in listing.items} == {
        path: item.revision for path, item in taken.items.items()
    }
    assert len(slack.methods("conversations.history")) <= 5


async def test_an_edited_answer_of_a_quiet_thread_is_noticed_within_a_week(
    slack: SlackServer, address: str, source: Source
) -> None:
    """Of every seven days two, so that a thread keeps its turn when a day's sync is missed; other threads wait."""
    channel = slack.channel("general")
    then = NOW - timedelta(days=60)
    roots = [slack.say(channel, f"Question {number}", at=then) for number in range(20)]
    answers = [slack.say(channel, "Answer", at=then, thread=root) for root in roots]
    root, answer = roots[-1], answers[-1]
    taken = await take(source)
    slack.edit(channel, answer, "Better answer")
    slack.messages[channel][root].pop("edited", None)
    noticed, read = [], []
    for day in range(7):
        slack.asked.clear()
        later = timedelta(days=day)
        listing = await listed(address, taken.before, later=later)
        changed = [item.path for item in listing.items if item.revision != taken.items[item.path].revision]
        noticed.append(bool(changed))
        read.append(len(slack.methods("conversations.replies")))
        assert set(changed) <= {f"general/{then:%Y-%m-%d} thread {root}.md"}
        slack.asked.clear()
        await listed(address, taken.before, since=NOW + later - timedelta(hours=1), later=later)
        assert slack.methods("conversations.replies") == [], "only the sync that looks at everything does"
    assert sum(noticed) == 2
    assert sum(read) >= 2 * 20
    assert max(read) < 2 * 20


async def test_answers_of_an_old_thread_are_not_read_again_unless_it_grew(
    slack: SlackServer, address: str, source: Source
) -> None:
    channel = slack.channel("general")
    then = NOW - timedelta(days=60)
    root = slack.say(channel, "Question", at=then)
    slack.say(channel, "Answer", at=then, thread=root)
    taken = await take(source)
    days = [timedelta(days=day) for day in range(7)]
    calls = []
    for later in days:
        slack.asked.clear()
        (item,) = (await listed(address, taken.before, later=later)).items
        assert item.revision == taken.items[item.path].revision
        calls.append(len(slack.methods("conversations.replies")))
    assert calls.count(0) == 5, "its turn is on two days of a week"
    slack.say(channel, "At last", thread=root)
    async with opened(address) as connector:
        (item,) = (await connector.listing(taken.before, since=None)).items
        assert item.revision != taken.items[item.path].revision
        assert "At last" in await text_of(connector, item)


async def test_an_unchanged_thread_can_still_be_fetched(
    slack: SlackServer, address: str, source: Source
) -> None:
    channel = slack.channel("general")
    root = slack.say(channel, "Question", at=NOW - timedelta(days=60))
    slack.say(channel, "Answer", at=NOW - timedelta(days=60), thread=root)
    taken = await take(source)
    async with opened(address) as connector:
        (item,) = (await connector.listing(taken.before, since=None)).items
        assert "Answer" in await text_of(connector, item)
        slack.refusals["conversations.replies C000"] = "thread_not_found"
        with pytest.raises(UnreadableDocumentError):
            await connector.fetch(item)


# --- when it does not go well --------------------------------------------------------------------------


async def test_a_channel_that_cannot_be_read_keeps_its_documents(slack: SlackServer, address: str) -> None:
    for name in ("one", "two"):
        slack.say(slack.channel(name), "hi")
    slack.refusals["conversations.history C000"] = "not_in_channel"
    listing = await listed(address)
    assert [item.path for item in listing.items] == ["two/2026-06-30.md"]
    assert listing.may_hold("one/2026-01-01.md")
    assert not listing.may_hold("two/2026-01-01.md")


async def test_a_busy_slack_is_asked_again_when_it_wants(slack: SlackServer, address: str) -> None:
    slack.say(slack.channel("general"), "hi")
    slack.stumbles = [web.Response(status=429, headers={"Retry-After": "0"}) for _ in range(3)]
    assert len((await listed(address)).items) == 1


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        ("token_revoked", SettingsError, "refuses its token"),
        ("missing_scope", SettingsError, "needs the scope 'channels:history'"),
        ("ratelimited", UpstreamRateLimitError, "no more calls"),
        ("fatal_error", UpstreamError, "fatal_error"),
    ],
)
async def test_a_refusal_says_what_to_do(
    slack: SlackServer, address: str, error: str, kind: type[Exception], said: str
) -> None:
    slack.say(slack.channel("general"), "hi")
    slack.refusals["conversations.history C000"] = error
    with pytest.raises(kind, match=said):
        await listed(address)


async def test_a_wrong_token_is_a_setting_to_mend_and_is_not_shown(address: str) -> None:
    with pytest.raises(SettingsError, match=r"sources\.chat \(Slack\) refuses its token") as raised:
        await listed(address, token="xoxb-wrong")
    assert "xoxb-wrong" not in str(raised.value)


@pytest.mark.parametrize("body", ["", "[1]", "{}", '{"ok": "yes"}', '{"ok": true, "members": {}}'])
async def test_an_answer_that_is_none_is_an_error_and_not_an_empty_slack(
    slack: SlackServer, address: str, body: str
) -> None:
    slack.stumbles = [
        web.json_response({"ok": True, "url": "https://acme.slack.com/"}),
        web.Response(text=body, content_type="application/json"),
    ]
    with pytest.raises(UpstreamError):
        await listed(address)


async def test_messages_of_other_shapes_are_passed_over(slack: SlackServer, address: str) -> None:
    channel = slack.channel("general")
    slack.say(channel, "hi")
    slack.messages[channel]["9"] = {"ts": "9", "text": 7, "user": [], "files": "x", "edited": 3}
    assert [item.path for item in (await listed(address)).items] == ["general/2026-06-30.md"]
    workspace = Workspace(url="", people={}, channels={})
    assert workspace.message({"ts": "1e999", "text": "x"}) is None
    assert workspace.message({"ts": "99999999999999", "text": "x"}) is None


# --- exports -----------------------------------------------------------------------------------------


def export(path: Path, channels: dict[str, str], days: dict[str, object], **more: object) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        listed = [{"id": identity, "name": name} for identity, name in channels.items()]
        archive.writestr("channels.json", json.dumps(listed))
        archive.writestr("users.json", json.dumps([{"id": "U1", "name": "ada"}]))
        for name, content in {**days, **more}.items():
            archive.writestr(name, content if isinstance(content, str) else json.dumps(content))


def export_settings(path: Path, **values: object) -> SourceSettings:
    return SourceSettings.model_validate({"kind": "slack", "path": path, **values})


@pytest.fixture
def exported(tmp_path: Path) -> Source:
    zipped, folder = tmp_path / "slack.zip", tmp_path / "kept"
    folder.mkdir()
    names: dict[str, str] = {}
    words: dict[str, str] = {}

    def save() -> None:
        channels = {f"C{name}": names[name] for name in words}
        ts = f"{int(NOW.timestamp())}.000001"
        days: dict[str, object] = {
            f"{names[name]}/2026-06-30.json": [{"type": "message", "ts": ts, "user": "U1", "text": said}]
            for name, said in words.items()
        }
        export(zipped, channels, days)

    async def write(name: str, said: str) -> None:
        names.setdefault(name, name)
        words[name] = said
        save()

    async def remove(name: str) -> None:
        del words[name]
        save()

    async def rename(name: str, title: str) -> None:
        names[name] = title
        save()

    async def cut() -> None:
        zipped.write_bytes(zipped.read_bytes()[:100])

    return Source(
        open=lambda: open_slack_export("chat", export_settings(zipped), clock=Noon()),
        write=write,
        remove=remove,
        rename=rename,
        cut=cut,
        folder=folder,
    )


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_slack_exports_keep_the_contract(check: Check, exported: Source) -> None:
    await check(exported)


async def test_a_thread_over_several_days_of_an_export_is_one_document(tmp_path: Path) -> None:
    root, late = "1782734400.000100", "1782820800.000200"
    days: dict[str, object] = {
        "general/2026-06-29.json": [{"ts": root, "thread_ts": root, "user": "U1", "text": "Question"}],
        "general/2026-06-30.json": [{"ts": late, "thread_ts": root, "user": "U1", "text": "Answer"}],
        "general/2026-06-28.json": "no JSON",
        "other/2026-06-30.json": [{"ts": late, "user": "U1", "text": "Alone"}],
    }
    channels = {"C1": "general", "C2": "other"}
    export(tmp_path / "e.zip", channels, days)
    async with open_slack_export("chat", export_settings(tmp_path / "e.zip"), clock=Noon()) as opened_export:
        listing = await opened_export.listing({}, since=None)
    assert [item.path for item in listing.items] == ["other/2026-06-30.md"]
    assert listing.unseen == {"general": "'general/2026-06-28.json' in the export is no JSON"}
    del days["general/2026-06-28.json"]
    export(tmp_path / "e.zip", channels, days)
    async with open_slack_export("chat", export_settings(tmp_path / "e.zip"), clock=Noon()) as opened_export:
        listing = await opened_export.listing({}, since=None)
    assert {item.identity for item in listing.items} == {f"C1/{root}", "C2/2026-06-30"}


async def test_direct_messages_of_an_export_stay_private(tmp_path: Path) -> None:
    secret = [{"ts": "1782734400.000100", "user": "U1", "text": "secret"}]
    export(tmp_path / "e.zip", {}, {"dms.json": [{"id": "D1"}], "D1/2026-06-30.json": secret})
    async with open_slack_export("chat", export_settings(tmp_path / "e.zip"), clock=Noon()) as opened_export:
        assert (await opened_export.listing({}, since=None)).items == ()


async def test_a_zip_that_is_no_slack_export_is_said(tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.md", "a")
    (tmp_path / "e.zip").write_bytes(out.getvalue())
    async with open_slack_export("chat", export_settings(tmp_path / "e.zip"), clock=Noon()) as opened_export:
        with pytest.raises(UnreadableDocumentError, match=r"no channels\.json"):
            await opened_export.listing({}, since=None)
