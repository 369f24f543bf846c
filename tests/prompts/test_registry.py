from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import pytest
from sqlalchemy import text as sql
from sqlalchemy.exc import DBAPIError

from causeway.contracts.identity import Principal, Scope
from causeway.errors import InvalidInputError, NotFoundError, StaleEditError
from causeway.gateway import audit
from causeway.gateway.audit import Audit
from causeway.prompts import registry as registry_module
from causeway.prompts.changes import Known
from causeway.prompts.prompt import parse
from causeway.prompts.registry import Registry
from causeway.prompts.rollout import Pointer
from causeway.prompts.shelf import Shelf, packaged_texts
from causeway.storage.database import Database
from causeway.storage.notices import Notices

ADA = Principal(id="key_ada", name="Ada", scopes=frozenset({Scope.ADMIN}))
FIRST = parse(packaged_texts()["answer"], origin="answer").version
"""Number of the packaged ``answer``."""
OWN = """---
name: greet
version: 1
description: Greets.
inputs:
  who: {type: text, example: Ada}
---
=== user
Hello {{ who }}, WORDING.
"""


def own(wording: str, version: int = 1) -> str:
    """A prompt of one's own, as a file."""
    return OWN.replace("WORDING", wording).replace("version: 1", f"version: {version}")


def answer_with(sentence: str) -> str:
    """The packaged prompt with another sentence in it."""
    return packaged_texts()["answer"].replace("Rules:", f"Rules, {sentence}:")


class Process:
    """A registry and a shelf as one process has them."""

    def __init__(self, database: Database) -> None:
        self.notices = Notices(database)
        self.shelf = Shelf.packaged()
        self.registry = Registry(database, self.shelf, notices=self.notices, record=audit.record)

    def says(self, name: str, *, key: str | None = None) -> str:
        """The last message of a prompt, filled with its examples."""
        prompt = self.shelf.get(name, key=key)
        return str(prompt.messages(prompt.examples)[-1].content)


@pytest.fixture
async def here(database: Database) -> AsyncIterator[Process]:
    process = Process(database)
    async with process.notices.listening(), process.registry.running():
        await process.notices.live()
        yield process


@pytest.fixture
async def there(database: Database) -> AsyncIterator[Process]:
    process = Process(database)
    async with process.notices.listening(), process.registry.running():
        await process.notices.live()
        yield process


async def test_packaged_prompts_are_the_first_versions_and_live(here: Process) -> None:
    standings = {each.name: each for each in await here.registry.standings()}
    assert set(standings) == set(packaged_texts())
    answer = standings["answer"]
    assert answer.live == Pointer(version=FIRST, follows_package=True)
    assert (answer.packaged, answer.is_behind, answer.versions) == (FIRST, False, 1)
    assert here.shelf.get("answer") == parse(packaged_texts()["answer"], origin="answer")
    assert [event.action for event in await here.registry.events("answer")] == ["package", "package"]


async def test_a_second_start_changes_nothing(here: Process, there: Process) -> None:
    assert len(await there.registry.events("answer")) == 2
    assert (await there.registry.standing("answer")).versions == 1


async def test_a_published_version_is_not_live_until_a_label_says_so(here: Process) -> None:
    version = await here.registry.publish(answer_with("be kind"), by=ADA, why="kinder", origin="page")
    assert version.reference == f"answer@{FIRST + 1}"
    assert (version.based_on, version.created_by, version.why) == (FIRST, "key_ada", "kinder")
    assert f"version: {FIRST + 1}\n" in version.text
    assert here.shelf.get("answer").version == FIRST
    await here.registry.label("answer", "live", FIRST + 1, by=ADA, why="won the eval")
    assert here.shelf.get("answer").reference == version.reference
    assert here.shelf.get(f"answer@{FIRST}").version == FIRST


async def test_the_same_text_is_the_same_version_whatever_number_it_has(here: Process) -> None:
    first = await here.registry.publish(own("one"), by=ADA, why="new", origin="file")
    again = await here.registry.publish(own("one", version=9), by=ADA, why="again", origin="file")
    assert (first.version, again) == (1, first)
    assert (await here.registry.standing("greet")).versions == 1


async def test_two_who_edit_one_version_cannot_both_publish_unawares(here: Process) -> None:
    await here.registry.publish(own("one"), by=ADA, why="new", origin="file")
    await here.registry.publish(own("two"), by=ADA, why="better", origin="page")
    with pytest.raises(StaleEditError, match="has a version 2 by now, and this was made from version 1"):
        await here.registry.publish(own("three"), by=ADA, why="better", origin="file")
    over = await here.registry.publish(
        own("three"), by=ADA, why="better", origin="file", known=Known(is_over=True)
    )
    assert (over.version, over.based_on) == (3, 1)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("{{ question }}", "{{ question }} {{ user }}"), "'user' is used but not declared"),
        (("inputs:\n", "inputs:\n  user: {type: text, example: Ada}\n"), "'user' is never given to the prompt 'answer'"),
        (("passage.text", "passage.body"), "`passage.body` is undefined"),
        (("{{ question }}", "{{ question.__class__ }}"), "begins with an underscore"),
        (("check: {type: text", "check: {type: flag"), "'check' has an example that is no flag"),
        (("=== ", "=== of "), "after the front matter comes"),
        (("name: answer", "name: Answer"), "lower-case letters"),
        (("description:", "descripton:"), "front matter has no 'descripton'"),
        (("version: ", "'version': "), "a line of its own"),
    ],
)  # fmt: skip
async def test_what_may_not_be_published(here: Process, change: tuple[str, str], problem: str) -> None:
    text = packaged_texts()["answer"].replace(*change)
    with pytest.raises(InvalidInputError) as refused:
        await here.registry.publish(text, by=ADA, why="x", origin="api")
    assert problem in refused.value.message
    assert (await here.registry.standing("answer")).versions == 1


async def test_a_change_without_a_reason_is_refused(here: Process) -> None:
    with pytest.raises(InvalidInputError, match="say why"):
        await here.registry.publish(own("one"), by=ADA, why="  ", origin="file")


async def test_a_rollout_gives_its_share_and_each_conversation_keeps_its_version(here: Process) -> None:
    await here.registry.publish(own("old"), by=ADA, why="new", origin="file", label="live")
    await here.registry.publish(own("new", 2), by=ADA, why="better", origin="file")
    await here.registry.roll_out("greet", 2, 20, by=ADA, why="try it")
    keys = [f"talk_{n}" for n in range(4000)]
    got = {key for key in keys if here.shelf.get("greet", key=key).version == 2}
    assert 0.17 < len(got) / len(keys) < 0.23
    await here.registry.roll_out("greet", 2, 60, by=ADA, why="more")
    more = {key for key in keys if here.shelf.get("greet", key=key).version == 2}
    assert got < more
    assert here.shelf.get("greet").version == 1
    assert here.shelf.steady().get("greet", key=next(iter(got))).version == 1
    await here.registry.roll_out("greet", 2, 100, by=ADA, why="it won")
    assert (await here.registry.standing("greet")).live == Pointer(version=2)


async def test_a_rollback_ends_a_trial_then_goes_back_step_by_step(here: Process) -> None:
    for n, wording in enumerate(("one", "two", "three"), start=1):
        await here.registry.publish(own(wording, n), by=ADA, why=wording, origin="file", label="live")
    await here.registry.roll_out("greet", 1, 30, by=ADA, why="the old one again?")
    back = [await here.registry.roll_back("greet", by=ADA) for _ in range(3)]
    assert [pointer.version for pointer in back] == [3, 2, 1]
    with pytest.raises(NotFoundError, match="no version before"):
        await here.registry.roll_back("greet", by=ADA)
    await here.registry.label("greet", "live", 3, by=ADA, why="after all")
    assert (await here.registry.roll_back("greet", by=ADA)).version == 1
    assert here.says("greet") == "Hello Ada, one."


async def test_history_and_audit_log_say_who_when_and_why(here: Process, database: Database) -> None:
    await here.registry.publish(own("one"), by=ADA, why="first words", origin="page", label="candidate")
    await here.registry.unlabel("greet", "candidate", by=ADA, why="enough")
    events = await here.registry.events("greet")
    assert [(each.action, each.label, each.why, each.principal_id) for each in events] == [
        ("unlabel", "candidate", "enough", "key_ada"),
        ("label", "candidate", "first words", "key_ada"),
        ("publish", None, "first words", "key_ada"),
    ]
    lines = await Audit(database).list(subject="greet")
    assert [line.action for line in lines] == ["prompt.unlabel", "prompt.label", "prompt.publish"]
    assert lines[1].after["version"] == 1
    assert (lines[1].after["label"], lines[1].after["why"]) == ("candidate", "first words")


async def test_other_processes_hear_of_changes(
    here: Process, there: Process, eventually: Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]
) -> None:
    await there.registry.publish(own("from there"), by=ADA, why="new", origin="page", label="live")

    async def is_here() -> bool:
        return "greet" in here.shelf.names() and here.says("greet") == "Hello Ada, from there."

    await eventually(is_here)
    await there.registry.publish(
        own("again"), by=ADA, why="new", origin="page", label="live", known=Known(is_over=True)
    )

    async def is_again() -> bool:
        return here.says("greet") == "Hello Ada, again."

    await eventually(is_again)


async def test_versions_cannot_be_changed_even_in_the_database(here: Process, database: Database) -> None:
    for statement in ("UPDATE prompt_versions SET text = 'x'", "DELETE FROM prompt_versions"):
        with pytest.raises(DBAPIError, match="never changed"):
            async with database.begin() as connection:
                await connection.execute(sql(statement))


async def test_live_cannot_be_taken_away_and_labels_have_names(here: Process) -> None:
    with pytest.raises(InvalidInputError, match="cannot be taken away"):
        await here.registry.unlabel("answer", "live", by=ADA, why="x")
    for wrong in ("3", "Live", "", "a" * 41, "a b"):
        with pytest.raises(InvalidInputError, match="is no label"):
            await here.registry.label("answer", wrong, FIRST, by=ADA, why="x")
    with pytest.raises(InvalidInputError, match="means something else"):
        await here.registry.label("answer", "newest", FIRST, by=ADA, why="x")
    assert (await here.registry.version("answer", "newest")).version == FIRST
    assert here.shelf.get("answer@newest").version == FIRST
    with pytest.raises(NotFoundError, match="no version 77"):
        await here.registry.label("answer", "live", 77, by=ADA, why="x")


# --- a newer release ---------------------------------------------------------------------------------


def newer(monkeypatch: pytest.MonkeyPatch, texts: Mapping[str, str]) -> None:
    """Make this the release after the next start."""
    changed = {**packaged_texts(), **texts}
    monkeypatch.setattr(registry_module, "packaged_texts", lambda: changed)


async def start(database: Database) -> Process:
    """Another start."""
    process = Process(database)
    async with process.registry.running():
        await asyncio.sleep(0)
    return process


async def test_a_newer_packaged_prompt_goes_live_where_nobody_chose(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await start(database)
    newer(monkeypatch, {"answer": answer_with("newer").replace(f"version: {FIRST}", f"version: {FIRST + 1}")})
    later = await start(database)
    standing = await later.registry.standing("answer")
    assert (standing.live, standing.is_behind) == (Pointer(version=FIRST + 1, follows_package=True), False)


async def test_a_newer_packaged_prompt_never_overrides_a_choice(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await start(database)
    await first.registry.publish(answer_with("ours"), by=ADA, why="ours", origin="page", label="live")
    newer(monkeypatch, {"answer": answer_with("newer").replace(f"version: {FIRST}", f"version: {FIRST + 1}")})
    later = await start(database)
    standing = await later.registry.standing("answer")
    assert (standing.live, standing.packaged, standing.is_behind) == (
        Pointer(version=FIRST + 1),
        FIRST + 2,
        True,
    )
    assert "ours" in str(later.shelf.get("answer").sections)
    await later.registry.follow("answer", by=ADA, why="take theirs")
    standing = await later.registry.standing("answer")
    assert (standing.live, standing.is_behind) == (Pointer(version=FIRST + 2, follows_package=True), False)


async def test_a_trial_is_not_ended_by_a_newer_release(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await start(database)
    await first.registry.publish(answer_with("ours"), by=ADA, why="ours", origin="page")
    await first.registry.roll_out("answer", FIRST + 1, 10, by=ADA, why="try")
    newer(monkeypatch, {"answer": answer_with("newer").replace(f"version: {FIRST}", f"version: {FIRST + 1}")})
    later = await start(database)
    standing = await later.registry.standing("answer")
    assert standing.live is not None
    assert (standing.live.version, standing.live.trial, standing.is_behind) == (FIRST, FIRST + 1, True)
    ended = await later.registry.roll_back("answer", by=ADA)
    assert ended == Pointer(version=FIRST, follows_package=True)


async def test_an_older_release_that_starts_again_moves_nothing_back(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await start(database)
    with monkeypatch.context() as patched:
        newer(patched, {"answer": answer_with("newer").replace(f"version: {FIRST}", f"version: {FIRST + 1}")})
        await start(database)
    older = await start(database)
    assert (await older.registry.standing("answer")).live == Pointer(version=FIRST + 1, follows_package=True)


async def test_a_live_version_that_this_release_cannot_fill_is_not_used(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await start(database)
    wanting = packaged_texts()["answer"].replace(
        "inputs:\n", "inputs:\n  tone: {type: text, example: kind}\n"
    )
    wanting = wanting.replace(f"version: {FIRST}", f"version: {FIRST + 1}").replace(
        "{{ question }}", "{{ question }} {{ tone }}"
    )
    with monkeypatch.context() as patched:
        newer(patched, {"answer": wanting})
        await start(database)
    older = await start(database)
    assert (await older.registry.standing("answer")).unfit == (FIRST + 1,)
    assert older.shelf.get("answer").version == FIRST
