from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result

from causeway.cli.dollars import shown
from causeway.errors import InvalidInputError, NotFoundError

Run = Callable[..., Result]


def _listed(run: Run, what: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run(what, "list", "--json").stdout)[what]
    return found


def test_a_key_is_made_with_its_bounds_listed_changed_rotated_and_revoked(run: Run) -> None:
    team = run("teams", "create", "ops", "--day", "5").stdout.strip()
    made = run(
        *("keys", "create", "ci", "--scope", "models", "--tier", "free", "--team", "ops", "--days", "3"),
        *("--model", "openai/*", "--model", "chat", "--endpoint", "chat", "--json"),
        *("--budget-day", "0.10", "--budget-month", "$2.000001"),
    )
    secret = json.loads(made.stdout)["key"]
    (key,) = _listed(run, "keys")
    assert (key["name"], key["tier"], key["team"], key["scopes"]) == ("ci", "free", "ops", ["models"])
    assert (key["models"], key["endpoints"]) == (["openai/*", "chat"], ["chat"])
    assert (key["budget_day_micros"], key["budget_month_micros"]) == (100_000, 2_000_001)
    assert (key["created_by"], key["state"], key["last_used_at"]) == ("command_line", "in force", None)
    assert secret.startswith(key["prefix"])

    run("keys", "update", key["prefix"], "--name", "build", "--budget-day", "none", "--tier", "pro")
    (changed,) = _listed(run, "keys")
    assert (changed["name"], changed["tier"], changed["budget_day_micros"]) == ("build", "pro", None)
    assert (changed["models"], changed["budget_month_micros"]) == (["openai/*", "chat"], 2_000_001)

    fresh = run("keys", "rotate", key["id"], "--grace-hours", "1.5")
    assert fresh.stdout.startswith("cw-")
    assert secret not in fresh.output
    assert "works for 1.5 more hours" in fresh.stderr

    run("keys", "revoke", f"{fresh.stdout[:9]}...")
    table = run("keys", "list").stdout
    assert "revoked" in table
    assert "pro/ops" in table
    assert "-/2.000001" in table
    assert team not in table


def test_a_teams_budget_is_changed_and_taken_away(run: Run) -> None:
    run("teams", "create", "ops", "--day", "5", "--month", "100")
    run("teams", "budget", "ops", "--day", "none")
    (team,) = _listed(run, "teams")
    assert (team["budget_day_micros"], team["budget_month_micros"]) == (None, 100_000_000)
    assert "100.00  ops" in run("teams", "list").stdout


@pytest.mark.parametrize("amount", ["-1", "NaN", "Infinity", "ten", "0.0000001", "1e12", "none", ""])
def test_an_amount_that_is_no_budget_is_wrong_usage(run: Run, amount: str) -> None:
    done = run("keys", "create", "ci", "--budget-day", amount)
    assert done.exit_code == 2
    assert "Invalid value for '--budget-day'" in done.stderr


def test_a_refusal_comes_out_as_itself(run: Run) -> None:
    with pytest.raises(
        InvalidInputError, match="no tier is called 'gold'; the settings have: free, internal, pro"
    ):
        run("keys", "create", "ci", "--tier", "gold")
    with pytest.raises(NotFoundError, match="no team is called 'hr'"):
        run("keys", "create", "ci", "--team", "hr")
    assert _listed(run, "keys") == []


@pytest.mark.parametrize(
    ("micros", "said"),
    [
        (None, "-"),
        (0, "0.00"),
        (1, "0.000001"),
        (12_500_000, "12.50"),
        (100_000_000, "100.00"),
        (1_234_500, "1.2345"),
    ],
)
def test_amounts_are_shown_exactly(micros: int | None, said: str) -> None:
    assert shown(micros) == said
