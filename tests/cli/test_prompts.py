from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from causeway.errors import InvalidInputError, NotFoundError
from causeway.prompts.shelf import Shelf
from tests.cli.conftest import Run

FIRST = Shelf.packaged().get("answer").version
CONTEXT = Shelf.packaged().get("context").version


def _standing(run: Run, name: str) -> dict[str, Any]:
    listed = json.loads(run("prompts", "list", "--json").stdout)["prompts"]
    found: dict[str, Any] = next(each for each in listed if each["name"] == name)
    return found


def test_a_prompt_goes_from_the_registry_to_a_file_and_back_changed(run: Run, tmp_path: Path) -> None:
    pulled = json.loads(run("prompts", "pull", "answer", "--json").stdout)["written"]
    assert pulled == [{"prompt": f"answer@{FIRST}", "path": "prompts/answer.prompt", "changed": True}]
    assert "as it was" in run("prompts", "pull", "answer").stdout
    file = tmp_path / "prompts" / "answer.prompt"
    file.write_text(file.read_text().replace("Rules:", "Rules, all of them:"))

    differing = run("prompts", "diff", "answer@live", "prompts/answer.prompt")
    assert differing.exit_code == 1
    assert "+Rules, all of them:" in differing.stdout

    published = run("prompts", "publish", "prompts", "--why", "obeyed more", "--label", "candidate")
    assert f"prompts/answer.prompt: answer@{FIRST + 1}; the file says so now" in published.stdout
    assert f"version: {FIRST + 1}\n" in file.read_text()
    assert _standing(run, "answer")["labels"]["candidate"]["version"] == FIRST + 1
    assert _standing(run, "answer")["labels"]["live"]["version"] == FIRST
    assert run("prompts", "show", "answer@candidate").stdout == file.read_text()

    run("prompts", "label", "answer@candidate", "live", "--percent", "20", "--why", "try it")
    assert _standing(run, "answer")["labels"]["live"]["trial"] == FIRST + 1
    run("prompts", "label", f"answer@{FIRST + 1}", "live", "--why", "it won")
    run("prompts", "rollback", "answer", "--why", "complaints")
    assert _standing(run, "answer")["labels"]["live"]["version"] == FIRST
    history = run("prompts", "show", "answer", "--history").stdout.splitlines()
    assert [line.split("  ")[2] for line in history] == [
        "rollback",
        "label",
        "rollout",
        "label",
        "publish",
        "package",
        "package",
    ]
    assert "command_line" in history[0]
    assert "(complaints)" in history[0]


def test_a_file_that_another_edit_overtook_is_refused(run: Run, tmp_path: Path) -> None:
    run("prompts", "pull", "context")
    file = tmp_path / "prompts" / "context.prompt"
    mine = file.read_text().replace("At most 25 words", "At most 20 words")
    file.write_text(mine.replace("20", "15"))
    run("prompts", "publish", "prompts/context.prompt", "--why", "shorter")
    file.write_text(mine)
    refused = run("prompts", "publish", "prompts/context.prompt", "--why", "mine")
    assert refused.exit_code == 1
    assert f"has a version {CONTEXT + 1} by now, and this was made from version {CONTEXT}" in refused.stderr
    assert file.read_text() == mine
    assert run("prompts", "publish", str(file), "--why", "mine", "--over").exit_code == 0


def test_a_faulty_file_is_named_and_the_others_are_published(run: Run, tmp_path: Path) -> None:
    run("prompts", "pull", "answer", "context")
    for name, change in (("answer", ("{{ question }}", "{{ user }}")), ("context", ("25", "24"))):
        file = tmp_path / "prompts" / f"{name}.prompt"
        file.write_text(file.read_text().replace(*change))
    done = run("prompts", "publish", "prompts", "--why", "both", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["published"][0]["prompt"] == f"context@{CONTEXT + 1}"
    assert "'user' is used but not declared" in done.stderr


def test_going_back_to_the_package_follows_it_again(run: Run) -> None:
    run("prompts", "label", f"answer@{FIRST}", "live", "--why", "pinned")
    assert _standing(run, "answer")["labels"]["live"]["follows_package"] is False
    run("prompts", "rollback", "answer", "--to-package")
    assert _standing(run, "answer")["labels"]["live"]["follows_package"] is True


def test_what_is_not_there_is_said(run: Run) -> None:
    with pytest.raises(NotFoundError, match="no prompt is called 'nothing'; there are analyst_repair"):
        run("prompts", "show", "nothing")
    with pytest.raises(NotFoundError, match="no version 999"):
        run("prompts", "show", "answer@999")
    with pytest.raises(InvalidInputError, match="is no label"):
        run("prompts", "label", f"answer@{FIRST}", "Live", "--why", "x")


def test_git_applies_what_diff_prints(run: Run, tmp_path: Path) -> None:
    run("prompts", "pull", "answer", "--to", ".")
    file = tmp_path / "answer.prompt"
    before = file.read_text()
    file.write_text(before.replace("Rules:", "Rules of ours:").rstrip("\n"))
    patch = run("prompts", "diff", "answer", "answer.prompt").stdout
    after = file.read_text()
    file.write_text(before)
    subprocess.run(["git", "apply", "-"], input=patch, text=True, cwd=tmp_path, check=True)
    assert file.read_text() == after
