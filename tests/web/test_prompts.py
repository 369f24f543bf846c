from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from causeway.gateway.audit import Audit
from causeway.prompts.shelf import Shelf, packaged_texts
from causeway.web.app import build_app
from tests.web.prompts_site import ADA, FIRST, PromptsSite, furnish, prompts_site, shorter

pytestmark = pytest.mark.timeout(180)

OWN = "---\nname: greet\nversion: 1\ninputs:\n  who: {type: text, example: Ada}\n---\n=== user\nHello {{ who }}\n"


@pytest.fixture
async def site(database_url: str, tmp_path: Path) -> AsyncIterator[PromptsSite]:
    async with prompts_site(database_url, tmp_path) as made:
        yield made


def _client(site: PromptsSite, key: str) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app=build_app(site.parts))
    headers = {"authorization": f"Bearer {key}"}
    return httpx2.AsyncClient(transport=transport, base_url="http://causeway.test", headers=headers)


@pytest.fixture
async def api(site: PromptsSite) -> AsyncIterator[httpx2.AsyncClient]:
    """A program with an administrator's key."""
    async with _client(site, site.admin.admin_key) as client:
        yield client


async def _get(api: httpx2.AsyncClient, path: str) -> Any:
    answer = await api.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def _apply(patch: str, folder: Path) -> None:
    command = ["git", "apply", "-"]
    await asyncio.to_thread(subprocess.run, command, input=patch, text=True, cwd=folder, check=True)


async def test_a_version_is_published_labelled_rolled_out_and_back(api: httpx2.AsyncClient) -> None:
    made = await api.post("/api/prompts", json={"text": shorter(), "why": "short", "label": "candidate"})
    assert made.status_code == 201
    assert made.json()["version"]["version"] == FIRST + 1
    assert made.json()["version"]["labels"] == ["candidate"]
    tried = await api.put(
        "/api/prompts/answer/labels/live", json={"version": FIRST + 1, "percent": 25, "why": "try"}
    )
    assert tried.json() == {
        "version": FIRST,
        "trial": FIRST + 1,
        "percent": 25,
        "follows_package": True,
    }
    back = await api.post("/api/prompts/answer/rollback", json={})
    assert back.json()["trial"] is None
    whole = await api.put("/api/prompts/answer/labels/live", json={"version": FIRST + 1, "why": "it won"})
    assert whole.json()["version"] == FIRST + 1
    gone = await api.delete("/api/prompts/answer/labels/candidate?why=over")
    assert gone.status_code == 204
    follows = await api.post("/api/prompts/answer/follow", json={"why": "theirs is fine"})
    assert follows.json() == {
        "version": FIRST,
        "trial": None,
        "percent": 0,
        "follows_package": True,
    }
    events = (await _get(api, "/api/prompts/answer/events"))["events"]
    assert [each["action"] for each in events][:6] == [
        "follow", "unlabel", "label", "rollback", "rollout", "label",
    ]  # fmt: skip


async def test_what_is_wrong_is_said_before_it_is_published(api: httpx2.AsyncClient) -> None:
    wrong = shorter().replace("{{ question }}", "{{ question }} {{ user }}")
    checked = (await api.post("/api/prompts/check", json={"text": wrong})).json()
    assert checked["problems"] == [
        "'user' is used but not declared; add it to 'inputs' with a type and an example"
    ]
    refused = await api.post("/api/prompts", json={"text": wrong, "why": "x"})
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_request")
    fine = (await api.post("/api/prompts/check", json={"text": shorter()})).json()
    assert fine["problems"] == []
    assert fine["messages"][1]["content"].startswith("Passages:\n\n[1] Returns > Web orders")


async def test_an_edit_that_was_overtaken_is_a_conflict(api: httpx2.AsyncClient) -> None:
    await api.post("/api/prompts", json={"text": shorter(), "why": "short"})
    late = {"text": shorter().replace("Rules", "The rules"), "why": "x", "based_on": FIRST}
    refused = await api.post("/api/prompts", json=late)
    assert (refused.status_code, refused.json()["code"]) == (409, "stale_edit")
    assert (await api.post("/api/prompts", json={**late, "over": True})).status_code == 201


async def test_git_applies_the_patch_of_a_version(api: httpx2.AsyncClient, tmp_path: Path) -> None:
    await api.post("/api/prompts", json={"text": shorter(), "why": "short", "label": "live"})
    got = await api.get("/api/prompts/answer/patch")
    assert got.headers["content-type"].startswith("text/x-diff")
    assert got.headers["content-disposition"] == 'attachment; filename="answer-live.patch"'
    file = tmp_path / "clone" / "causeway" / "prompts" / "texts" / "answer.prompt"
    file.parent.mkdir(parents=True)
    file.write_text(packaged_texts()["answer"])
    await _apply(got.text, tmp_path / "clone")
    assert file.read_text() == (await _get(api, "/api/prompts/answer/versions/live"))["text"]
    await api.post("/api/prompts", json={"text": OWN, "why": "mine", "label": "live"})
    new = (await api.get("/api/prompts/greet/patch?path=prompts/greet.prompt")).text
    await _apply(new, tmp_path / "clone")
    assert (tmp_path / "clone" / "prompts" / "greet.prompt").read_text() == OWN
    assert (await api.get("/api/prompts/answer/patch?path=../x.prompt")).status_code == 422


async def test_usage_says_which_version_answered_how_well(api: httpx2.AsyncClient, site: PromptsSite) -> None:
    await furnish(site)
    versions = {each["version"]: each for each in (await _get(api, "/api/prompts/answer"))["versions"]}
    two, three = versions[FIRST]["usage"], versions[FIRST + 1]["usage"]
    assert (two["calls"], three["calls"], versions[FIRST + 2]["usage"]["calls"]) == (336, 84, 0)
    assert two["asked"] == 336
    assert two["cost_usd"] == pytest.approx(0.33936)
    assert two["thumbs_up"] + two["thumbs_down"] > 50
    share, low, high = two["liked"]
    assert low < share < high
    assert share == pytest.approx(two["thumbs_up"] / (two["thumbs_up"] + two["thumbs_down"]))
    assert versions[FIRST + 2]["usage"]["liked"] is None


async def test_the_playground_runs_a_version_or_a_draft_at_the_callers_cost(
    api: httpx2.AsyncClient, site: PromptsSite
) -> None:
    values = {**Shelf.packaged().get("answer").examples, "question": "How long?"}
    run = {"values": values, "model": "openai/gpt-6-sol", "which": str(FIRST), "max_tokens": 64}
    done = (await api.post("/api/prompts/answer/try", json=run)).json()
    assert done["prompt"] == f"answer@{FIRST}"
    assert done["output"].startswith(f"openai/gpt-6-sol by answer@{FIRST}: thirty days")
    assert (done["input_tokens"], done["output_tokens"], done["cost_usd"]) == (180, 21, 0.00124)
    assert "Question: How long?" in done["messages"][1]["content"]
    call = site.gateway.calls[0]
    assert (call.purpose, call.may_cache, call.principal.name) == ("playground", False, "root")
    draft = await api.post("/api/prompts/answer/try", json={**run, "text": shorter()})
    assert draft.json()["prompt"] == "answer@draft"
    away = await api.post("/api/prompts/answer/try", json={**run, "model": "fast"})
    assert (away.status_code, away.json()["code"]) == (503, "model_unavailable")
    missing = await api.post("/api/prompts/answer/try", json={**run, "values": {}})
    assert missing.status_code == 400
    assert "is undefined" in missing.json()["detail"]


async def test_a_run_can_be_streamed(api: httpx2.AsyncClient) -> None:
    values = {**Shelf.packaged().get("answer").examples, "question": "How long?"}
    answer = await api.post(
        "/api/prompts/answer/try", json={"values": values, "model": "chat", "stream": True}
    )
    blocks = [block for block in answer.text.split("\n\n") if block]
    assert [block.split("\n")[0] for block in blocks][:2] == ["event: text", "event: text"]
    assert blocks[-1].startswith("event: done")
    assert json.loads(blocks[-1].split("data: ")[1])["prompt"] == f"answer@{FIRST}"


async def test_inputs_come_from_examples_traces_and_suites(
    api: httpx2.AsyncClient, site: PromptsSite
) -> None:
    await furnish(site)
    found = await _get(api, "/api/prompts/answer/inputs")
    assert found["inputs"][0]["source"] == "example"
    trace = found["inputs"][1]
    assert (trace["source"], trace["values"]["question"]) == ("trace", "How long may I return tent 000?")
    assert found["models"] == ["chat", "fast", "openai/gpt-6-sol"]
    cases = (await _get(api, "/api/prompts/answer/inputs?suite=sample-company"))["inputs"]
    assert len(cases) == 50
    assert set(cases[0]["values"]) == {"passages", "question", "check"}
    assert (await api.get("/api/prompts/answer/inputs?suite=/etc/passwd")).status_code == 404


async def test_a_program_has_its_prompt_rendered(api: httpx2.AsyncClient) -> None:
    await api.post("/api/prompts", json={"text": OWN, "why": "mine", "label": "live"})
    done = (
        await api.post("/api/prompts/greet/render", json={"values": {"who": "Ben"}, "key": "conv_1"})
    ).json()
    assert done == {"prompt": "greet@1", "messages": [{"role": "user", "content": "Hello Ben"}]}


async def test_only_administrators_come_near(site: PromptsSite) -> None:
    async with _client(site, site.admin.user_key) as reader:
        for path in ("/api/prompts", "/api/prompts/answer", "/prompts", "/prompts/answer/edit"):
            assert (await reader.get(path)).status_code == 403, path
        assert (await reader.post("/api/prompts", json={"text": OWN, "why": "x"})).status_code == 403
        values = {"values": {}, "model": "chat"}
        assert (await reader.post("/api/prompts/answer/try", json=values)).status_code == 403


async def test_every_page_shows_and_changes_what_the_registry_has(
    api: httpx2.AsyncClient, site: PromptsSite
) -> None:
    await furnish(site)
    for path, said in (
        ("/prompts", "packaged"),
        ("/prompts/new", "my_prompt"),
        ("/prompts/answer", "one sentence is enough at the till"),
        (f"/prompts/answer/versions/{FIRST + 1}", f"made from @{FIRST}"),
        (f"/prompts/answer/diff?before={FIRST}&after={FIRST + 2}", "<ins> kindly</ins>"),
        (f"/prompts/answer/diff?before={FIRST}&after=package", "Both are the same."),
        (f"/prompts/answer/edit?version={FIRST + 1}", f"From answer@{FIRST + 1}"),
        ("/prompts/answer/playground", "data-try-url"),
    ):
        shown = await api.get(path)
        assert shown.status_code == 200, path
        assert said in shown.text, path
    edited = {
        "text": shorter().replace("Rules", "The rules"),
        "why": "x",
        "based_on": str(FIRST),
        "seen": str(FIRST),
    }
    stale = await api.post("/prompts/publish", data=edited)
    assert stale.status_code == 409
    assert "Publish over it" in stale.text
    done = await api.post("/prompts/publish", data={**edited, "seen": str(FIRST + 2), "label": "candidate"})
    assert done.status_code == 303
    assert (await site.registry.version("answer", FIRST + 3)).based_on == FIRST
    for path, form in (
        ("label", {"version": str(FIRST + 2), "label": "live", "why": "now"}),
        ("rollout", {"version": str(FIRST + 3), "percent": "40", "why": "try"}),
        ("rollback", {}),
        ("unlabel", {"label": "candidate"}),
        ("follow", {}),
    ):
        moved = await api.post(f"/prompts/answer/{path}", data=form)
        assert moved.status_code == 303, path
        assert "problem" not in moved.headers["location"], moved.headers["location"]
    refused = await api.post("/prompts/answer/label", data={"version": "77", "label": "live", "why": "x"})
    assert "problem=" in refused.headers["location"]
    lines = await Audit(site.admin.database).list(subject="answer")
    assert lines[0].action == "prompt.follow"


async def test_a_newer_packaged_prompt_is_told_and_can_be_taken(
    api: httpx2.AsyncClient, site: PromptsSite
) -> None:
    await site.registry.publish(shorter(), by=ADA, why="ours", origin="page")
    site.registry._packaged["answer"] = FIRST + 1
    await site.registry.label("answer", "live", FIRST, by=ADA, why="keep ours")
    shown = (await api.get("/prompts/answer")).text
    assert "The packaged version changed; live is still yours." in shown
    assert (await _get(api, "/api/prompts"))["prompts"][2]["is_behind"] is True
