from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from click.testing import Result
from sqlalchemy import make_url

from causeway.errors import InvalidInputError, NotFoundError

Run = Callable[..., Result]


def _listed(run: Run, what: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run(what, "list", "--json").stdout)[what]
    return found


def test_a_person_is_made_changed_invited_anew_and_deleted(run: Run) -> None:
    group = run("groups", "create", "HR").stdout.strip()
    made = json.loads(
        run("users", "create", "Dana@example.com", "--role", "editor", "--group", "HR", "--json").stdout
    )
    assert made["path"] == f"/invitation/{made['token']}"
    (dana,) = _listed(run, "users")
    assert (dana["email"], dana["role"], dana["groups"]) == ("dana@example.com", "editor", {group: "HR"})
    run("users", "update", "dana@example.com", "--role", "reader", "--no-groups", "--disable")
    (dana,) = _listed(run, "users")
    assert (dana["role"], dana["groups"], dana["state"]) == ("reader", {}, "disabled")
    again = run("users", "invite", "dana@example.com")
    assert again.stdout.strip() != made["path"]
    assert "not shown again" in again.stderr
    key = json.loads(run("keys", "create", "laptop", "--user", "dana@example.com", "--json").stdout)
    assert {each["id"]: each["user"] for each in _listed(run, "keys")} == {key["id"]: dana["user_id"]}
    run("users", "delete", "dana@example.com")
    assert (_listed(run, "users"), _listed(run, "keys")) == ([], [])
    with pytest.raises(NotFoundError, match="causeway users list"):
        run("users", "invite", "dana@example.com")


def test_rules_are_said_with_the_names_of_people(run: Run, database_url: str) -> None:
    query = make_url(database_url).query
    with psycopg.connect(
        host=str(query["host"]),
        port=str(query["port"]),
        user="postgres",
        dbname=make_url(database_url).database,
    ) as connection:
        connection.execute(
            "INSERT INTO collections (id, name, embedding_model, dimensions) VALUES ('c', 'handbook', 'm', 2)"
        )
    run("groups", "create", "HR")
    run("users", "create", "dana@example.com")
    run("access", "allow", "handbook", "user:dana@example.com")
    run("access", "allow", "handbook", "group:HR", "--folder", "hr")
    (rules,) = json.loads(run("access", "list", "--json").stdout)["collections"]
    assert rules == {
        "collection": "handbook",
        "readers": ["user:dana@example.com"],
        "folders": {"hr": ["group:HR"]},
    }
    run("access", "allow", "handbook", "--folder", "hr", "--inherit")
    run("access", "allow", "handbook")
    assert run("access", "list").stdout == "handbook: administrators alone\n"
    with pytest.raises(NotFoundError, match="no group is called 'Sales'"):
        run("access", "allow", "handbook", "group:Sales")
    with pytest.raises(InvalidInputError, match="none of a rule's names"):
        run("access", "allow", "handbook", "dana")
    assert run("access", "allow", "handbook", "--inherit").exit_code == 2
