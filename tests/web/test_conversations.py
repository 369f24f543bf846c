from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Browser, expect
from starlette.testclient import TestClient

from tests.web.conftest import Served, serving, visiting
from tests.web.scripted import ENDLESS, EXAMPLES, FOLLOW_UP, READER_KEY, Scripted, scripted


def asked(api: TestClient, question: str, conversation: str | None = None) -> dict[str, object]:
    body = {"question": question, "conversation_id": conversation}
    answer: dict[str, object] = api.post("/api/ask", json=body).json()
    return answer


def test_a_follow_up_is_understood_in_its_conversation(api: TestClient) -> None:
    first = asked(api, EXAMPLES[0])
    second = asked(api, FOLLOW_UP[0], str(first["conversation_id"]))
    assert second["question"] == FOLLOW_UP[1]
    kept = api.get(f"/api/conversations/{first['conversation_id']}").json()
    assert [(turn["question"], turn["understood"]) for turn in kept["turns"]] == [
        (EXAMPLES[0], EXAMPLES[0]),
        FOLLOW_UP,
    ]
    assert kept["turns"][0]["answer"] == first["answer"]
    assert [one["id"] for one in api.get("/api/conversations").json()] == [first["conversation_id"]]


def test_a_conversation_leaves_as_markdown_with_its_sources(api: TestClient) -> None:
    conversation = asked(api, EXAMPLES[0])["conversation_id"]
    answer = api.get(f"/api/conversations/{conversation}/markdown")
    assert answer.headers["content-type"].startswith("text/markdown")
    assert answer.text.startswith(f"# {EXAMPLES[0]}\n\n## {EXAMPLES[0]}\n\nYou have **45 days**")
    assert "- [1] Returning an online order (policies/returns-online.md): “" in answer.text


def test_others_read_it_only_when_it_is_shared(api: TestClient) -> None:
    conversation = asked(api, EXAMPLES[0])["conversation_id"]
    address, reader = f"/api/conversations/{conversation}", {"authorization": f"Bearer {READER_KEY}"}
    assert api.get(address, headers=reader).status_code == 404
    assert api.patch(address, json={"shared": True}, headers=reader).status_code == 404
    assert api.patch(address, json={"shared": True}).json()["shared"] is True
    found = api.get(address, headers=reader).json()
    assert (found["mine"], len(found["turns"])) == (False, 1)
    assert api.delete(address, headers=reader).status_code == 404
    assert api.delete(address).status_code == 204
    assert api.get(address).status_code == 404


def test_a_stop_of_an_unknown_answer_changes_nothing(api: TestClient) -> None:
    assert api.delete(f"/api/ask/{'0' * 32}").status_code == 204
    assert api.delete("/api/ask/not-an-id").status_code == 422


def test_a_conversation_goes_on_after_the_page_is_loaded_again(served: Served, browser: Browser) -> None:
    with visiting(browser, served.address) as page:
        page.fill("#question", EXAMPLES[0])
        page.press("#question", "Enter")
        page.wait_for_url(re.compile("/conversations/cnv_"))
        page.reload()
        turns = page.locator(".turn")
        expect(turns).to_have_count(1)
        expect(turns.first.locator(".answer")).to_contain_text("45 days")
        turns.first.locator("[data-cite]").first.click()
        expect(page.locator("#passage")).to_be_visible()
        page.keyboard.press("Escape")
        page.fill("#question", FOLLOW_UP[0])
        page.press("#question", "Enter")
        expect(turns).to_have_count(2)
        expect(turns.nth(1).locator(".turn-understood")).to_have_text(f"Understood as: {FOLLOW_UP[1]}")
        expect(turns.nth(1).locator(".turn-foot")).to_be_visible()
        page.goto("/")
        page.click(".recent-link")
        expect(turns).to_have_count(2)
        page.fill("#conversation-title", "Tents")
        page.press("#conversation-title", "Enter")
        expect(page.locator("#conversation-title")).to_have_value("Tents")
        page.click("text=Share")
        expect(page.locator("button[aria-pressed=true]").first).to_have_text("Shared")
        page.goto("/conversations")
        expect(page.locator(".conversations-table tbody tr")).to_have_count(1)


def test_an_answer_goes_on_while_the_connection_is_broken(tmp_path: Path, browser: Browser) -> None:
    """The page's stream is cut in the middle; the answer comes out of the conversation."""
    cut = """
        const whole = window.fetch;
        window.fetch = async (url, options) => {
          const response = await whole(url, options);
          if (!String(url).endsWith("/api/ask")) return response;
          const reader = response.body.getReader();
          let pieces = 0;
          return new Response(new ReadableStream({
            async pull(controller) {
              const { value, done } = await reader.read();
              if (done || (pieces += 1) > 3) { reader.cancel(); return controller.error(new TypeError("network")); }
              controller.enqueue(value);
            },
          }), { status: response.status, headers: response.headers });
        };
        null
    """
    site = scripted(tmp_path, pause_s=0.02)
    with serving(site.parts) as address, visiting(browser, address) as page:
        read_again: list[str] = []
        page.on("response", lambda response: read_again.append(response.url))
        page.evaluate(cut)
        page.fill("#question", EXAMPLES[0])
        page.press("#question", "Enter")
        expect(page.locator(".turn-foot")).to_be_visible()
        expect(page.locator(".answer")).to_contain_text("within 5 working days")
        assert any("/api/conversations/cnv_" in url for url in read_again)
    assert site.answerer.closed == 0


def test_stopping_ends_the_answer_although_it_outlives_its_connection(
    served: Served, browser: Browser
) -> None:
    site: Scripted = served.site
    with visiting(browser, served.address) as page:
        page.fill("#question", ENDLESS)
        page.press("#question", "Enter")
        expect(page.locator(".answer")).to_contain_text("Boots")
        page.click(".send.is-stop")
        expect(page.locator(".turn-meta")).to_have_text("Stopped")
        page.wait_for_timeout(100)
        for _ in range(100):
            if site.answerer.closed:
                break
            page.wait_for_timeout(50)
    assert site.answerer.closed == 1
