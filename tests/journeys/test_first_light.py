"""A new installation as its user meets it: the real commands, the real models, a real client, and a kill."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import openai
import psutil
import pytest

from causeway.settings import child_environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

CAUSEWAY = str(Path(sys.executable).with_name("causeway"))
POLICIES = Path(__file__).resolve().parents[2] / "samples" / "documents" / "policies"
QUESTION = "How many days do I have to return something that I ordered online?"


@dataclass
class Installation:
    """A running Causeway with a data folder of its own."""

    folder: Path
    environment: dict[str, str]
    process: subprocess.Popen[str]
    address: str
    admin_key: str

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [CAUSEWAY, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def json(self, *arguments: str) -> Any:
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.admin_key}"}

    def get(self, path: str) -> Any:
        request = urllib.request.Request(self.address + path, headers=self.bearer)  # noqa: S310 - loopback
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - loopback
            return json.load(answer)

    def client(self, key: str) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.address}/v1", api_key=key, timeout=300, max_retries=0)


def _start(environment: dict[str, str]) -> tuple[subprocess.Popen[str], str, str]:
    """Start ``causeway up``; the process, its address and the admin key, which is empty unless it was just made."""
    process = subprocess.Popen(
        [CAUSEWAY, "up", "--port", "0"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if "Ctrl+C" in line:
            break
    address = re.search(r"http://\S+", said)
    key = re.search(r"cw-\S+", said)
    assert address, f"causeway up ended early: {said}"
    return process, address[0], key[0] if key else ""


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    process.wait(60)
    if process.stdout:
        process.stdout.close()


@pytest.fixture(scope="module")
def installation() -> Iterator[Installation]:
    # Not under pytest's folder: run as root, pytest closes that to the user whom PostgreSQL runs as.
    with tempfile.TemporaryDirectory(prefix="causeway-journey-") as folder:
        yield from _installed(Path(folder))


def _installed(folder: Path) -> Iterator[Installation]:
    environment = child_environment(
        CAUSEWAY_STORAGE__DIR=str(folder / "data"),
        CAUSEWAY_MODELS__CHAT="qwen2.5-coder-0.5b-instruct",
        CAUSEWAY_KNOWLEDGE__CONTEXT_TOKENS="500",
        CAUSEWAY_KNOWLEDGE__ANSWERS="written",  # by the real model, small as it is
    )
    process, address, key = _start(environment)
    running = Installation(folder, environment, process, address, key)
    yield running
    _stop(running.process)


@pytest.fixture(scope="module")
def ingested(installation: Installation) -> Installation:
    done = installation.json("ingest", str(POLICIES))
    assert done["failed"] == []
    assert len(done["new"]) == len(list(POLICIES.iterdir()))
    return installation


def test_the_first_start_prints_an_address_and_an_admin_key(installation: Installation) -> None:
    assert installation.admin_key.startswith("cw-")
    assert installation.get("/health/ready")["status"] == "ready"


def test_ingesting_the_same_folder_again_changes_nothing(ingested: Installation) -> None:
    again = ingested.json("ingest", str(POLICIES))
    assert (again["new"], again["changed"], again["deleted"]) == ([], [], [])


def test_search_finds_the_document_that_tells(ingested: Installation) -> None:
    hits = ingested.json("search", QUESTION, "--top-k", "3")["hits"]
    assert hits[0]["path"] == "returns-online.md"


def test_a_question_is_answered_with_citations_or_refused(ingested: Installation) -> None:
    answer = ingested.json("ask", QUESTION)
    assert answer["refused"] or answer["citations"]
    refused = ingested.json("ask", "What is the boiling point of tungsten in kelvin?")
    assert refused["refused"]
    assert "documents don't say" in refused["answer"]


def test_an_openai_client_gets_the_same_answer_plain_and_streamed_and_its_trace_is_stored(
    ingested: Installation,
) -> None:
    key = ingested.json("keys", "create", "journey")["key"]
    client = ingested.client(key)
    asked: Any = [{"role": "user", "content": QUESTION}]
    plain = client.chat.completions.create(model="knowledge", messages=asked)
    streamed = client.chat.completions.create(model="knowledge", messages=asked, stream=True)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in streamed if chunk.choices)
    assert text.strip() == (plain.choices[0].message.content or "").strip()
    trace_id = plain.model_extra["causeway"]["trace_id"] if plain.model_extra else ""
    spans = ingested.get(f"/api/traces/{trace_id}")["spans"]
    chat = next(span for span in spans if span["name"].startswith("chat "))
    assert chat["attributes"]["gen_ai.prompt.name"] == "answer"
    assert chat["attributes"]["gen_ai.usage.output_tokens"] > 0
    assert "causeway.cost.micros" in chat["attributes"]
    assert any("gen_ai.retrieval.documents" in span["attributes"] for span in spans)


def test_keys_are_needed_and_end_at_once(ingested: Installation) -> None:
    key = ingested.json("keys", "create", "short-lived")["key"]
    assert ingested.client(key).models.list().data
    assert ingested.run("keys", "revoke", key[:9]).returncode == 0
    with pytest.raises(openai.AuthenticationError):
        ingested.client(key).models.list()


def test_doctor_finds_nothing_broken(ingested: Installation) -> None:
    states = {finding["what"]: finding["state"] for finding in ingested.json("doctor")["findings"]}
    assert "broken" not in states.values()
    assert states["database"] == "ok"


def test_a_second_up_on_the_same_folder_is_refused_in_one_sentence(installation: Installation) -> None:
    second = installation.run("up", "--port", "0")
    assert second.returncode == 1
    assert "already works on the data folder" in second.stderr
    assert "Traceback" not in second.stderr


def test_a_taken_port_is_said_at_once(installation: Installation) -> None:
    port = installation.address.rpartition(":")[2]
    elsewhere = {**installation.environment, "CAUSEWAY_STORAGE__DIR": str(installation.folder / "other")}
    second = replace(installation, environment=elsewhere).run("up", "--port", port)
    assert second.returncode == 1
    assert second.stderr.strip() == (
        f"causeway: port {port} is in use; stop that program or choose another with --port"
    )


def test_wrong_usage_and_wrong_settings_are_told_apart(installation: Installation) -> None:
    assert installation.run("search").returncode == 2
    broken = subprocess.run(
        [CAUSEWAY, "doctor"],
        env={**installation.environment, "CAUSEWAY_SERVER__PROT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert broken.returncode == 1
    assert "server.prot (from CAUSEWAY_SERVER__PROT): no such setting" in broken.stderr


def test_killed_and_started_again_everything_is_still_there(ingested: Installation) -> None:
    before = ingested.json("search", QUESTION, "--top-k", "1")["hits"][0]["chunk_id"]
    children = psutil.Process(ingested.process.pid).children(recursive=True)
    ingested.process.send_signal(signal.SIGKILL)
    ingested.process.wait(10)
    deadline = time.monotonic() + 20
    while any(_is_alive(child) for child in children) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(_is_alive(child) for child in children)
    if ingested.process.stdout:
        ingested.process.stdout.close()
    ingested.process, ingested.address, key = _start(ingested.environment)
    assert key == ""
    assert ingested.json("search", QUESTION, "--top-k", "1")["hits"][0]["chunk_id"] == before
    assert ingested.get("/health/ready")["status"] == "ready"


def _is_alive(process: psutil.Process) -> bool:
    return (
        process.is_running() and process.status() != psutil.STATUS_ZOMBIE and "postgres" not in process.name()
    )
