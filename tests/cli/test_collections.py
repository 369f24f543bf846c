from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from click.testing import Result

from causeway.cli.progress import _left
from causeway.errors import InvalidInputError, NotFoundError

Run = Callable[..., Result]


def test_a_collection_is_made_changed_listed_and_deleted(run: Run) -> None:
    made = json.loads(run("collections", "create", "people", "--set", "pii.action=mask", "--json").stdout)
    assert made["options"]["pii"]["action"] == "mask"
    changed = json.loads(
        run(
            "collections",
            "set",
            "people",
            "chunking.strategy=sentence",
            "chunking.max_tokens=128",
            "pii.kinds=email, card",
            "--json",
        ).stdout
    )
    assert changed["options"]["chunking"]["max_tokens"] == 128
    assert changed["options"]["pii"] == {"action": "mask", "kinds": ["email", "card"]}
    back = json.loads(run("collections", "set", "people", "chunking.max_tokens=", "--json").stdout)
    assert back["options"]["chunking"]["max_tokens"] == 0
    (listed,) = json.loads(run("collections", "list", "--json").stdout)["collections"]
    assert (listed["name"], listed["progress"]["left"]) == ("people", 0)
    assert "sentence, pii mask" in run("collections", "list").stdout
    run("collections", "delete", "people", "--yes")
    assert json.loads(run("collections", "list", "--json").stdout) == {"collections": []}


def test_a_collection_is_paused_and_resumed(run: Run) -> None:
    run("collections", "create", "people")
    paused = json.loads(run("collections", "pause", "people", "--json").stdout)
    assert (paused["documents"], paused["collection"]["is_paused"]) == (0, True)
    assert "paused" in run("collections", "list").stdout
    assert run("collections", "resume", "people").stdout == "resumed\n"
    assert run("collections", "resume", "people").stdout == "it was not paused\n"
    assert run("collections", "cancel", "people").stdout == "cancel: 0 documents\n"
    assert run("collections", "reindex", "people").stdout == "reindex: 0 documents\n"


def test_mistakes_are_told_with_what_can_be_used(run: Run) -> None:
    run("collections", "create", "people")
    with pytest.raises(InvalidInputError, match=r"chunking\.strategy=sentence"):
        run("collections", "set", "people", "strategy")
    with pytest.raises(InvalidInputError, match="parent_child"):
        run("collections", "set", "people", "chunking.strategy=magic")
    with pytest.raises(NotFoundError, match="there are: people"):
        run("collections", "pause", "others")
    with pytest.raises(NotFoundError, match="doc_0"):
        run("collections", "pause", "people", "--document", "doc_0")


def test_the_bar_says_what_is_left_or_that_it_is_not_known() -> None:
    assert _left(3, 40, 125.4) == "3 of 40 documents, 2:05 left"
    assert _left(3, 40, None) == "3 of 40 documents, time left not known yet"
    assert _left(40, 40, 9.0) == "40 of 40 documents"
